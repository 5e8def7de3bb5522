mod received;

use std::{
    fmt::{self, Display},
    net::Ipv4Addr,
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::post,
};
use bondify_core::{Bondify, Event, SIGNATURE_HEADER, adapter};
use futures_util::FutureExt as _;
use reqwest::Url;
use serde::Serialize;
use tokio::{
    net::TcpListener,
    select,
    sync::{mpsc, oneshot},
};

use self::received::Received;
use crate::{
    exit::Exit,
    http::{self, Answer, Endpoint, NoAnswer},
    interrupt::Interrupts,
    output::Output,
    secret::SecretArgs,
};

/// Receive deliveries: verify, show and forward them
///
/// Forwards the exact bytes with their signature, and answers the delivery as the endpoint
/// answers: 502 if there is no answer, 504 after a time-out. Without --forward-to the answer is
/// 204. A delivery with a wrong signature is refused and never forwarded. Ctrl-C ends it, with
/// exit code 0.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The port of 127.0.0.1 to listen on, at any path; 0 is any free port
    #[arg(long)]
    port: u16,

    /// The endpoint to forward deliveries to
    #[arg(long, value_name = "URL", value_parser = http::parse_url)]
    forward_to: Option<Url>,

    /// The time-out for the answer of the endpoint
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    #[arg(value_parser = humantime::parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    secret: SecretArgs,
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let mut interrupts = Interrupts::new()?;
        let (shown, mut to_show) = mpsc::unbounded_channel();
        let listener = Listener {
            bondify: Bondify::builder(self.secret.secret()?).verify_only().build()?,
            forward_to: self.forward_to.map(|url| Endpoint::new(url, self.timeout)).transpose()?,
            shown,
        };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await;
        let port = port.with_context(|| format!("cannot listen on port {}", self.port))?;
        output.show(&Listening { listening: format!("http://{}", port.local_addr()?) })?;

        let app = Router::new().fallback_service(post(receive).with_state(listener));
        let (running, stopped) = oneshot::channel::<()>();
        let server = axum::serve(port, app).with_graceful_shutdown(stopped.map(drop));
        let server = tokio::spawn(server.into_future());
        let mut running = Some(running);
        loop {
            select! {
                delivery = to_show.recv() => match delivery {
                    Some(delivery) => output.show(&delivery)?,
                    // The server has ended, and all deliveries are shown.
                    None => break,
                },
                () = interrupts.next() => if running.take().is_none() {
                    return Ok(Exit::Interrupted);
                },
            }
        }
        server.await??;
        Ok(Exit::Success)
    }
}

#[derive(Serialize)]
struct Listening {
    listening: String,
}

impl Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listening on {}", self.listening)
    }
}

#[derive(Clone)]
struct Listener {
    bondify: Bondify,
    forward_to: Option<Endpoint>,
    shown: mpsc::UnboundedSender<Received>,
}

async fn receive(State(listener): State<Listener>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let received =
        adapter::receive(&listener.bondify, &head.headers, body.into_data_stream()).await;
    let handled = match received {
        Ok(delivery) => {
            let handler = async move |event| listener.handle(event, &head.headers).await;
            delivery.run_to_completion(handler, |response| response.status().as_u16()).await
        }
        Err(reply) => {
            listener.show(Received::refused(reply));
            Err(reply)
        }
    };
    handled.unwrap_or_else(adapter::response)
}

impl Listener {
    async fn handle(&self, event: Event, headers: &HeaderMap) -> Response {
        let forwarded = match &self.forward_to {
            Some(endpoint) => Some(forward(endpoint, &event, headers).await),
            None => None,
        };
        let status = status(forwarded.as_ref());
        self.show(Received::verified(&event, status, forwarded.as_ref()));
        match forwarded {
            Some(Ok(answer)) => respond(answer),
            _ => status.into_response(),
        }
    }

    /// Shows a delivery. Does nothing once the command ends.
    fn show(&self, received: Received) {
        let _ = self.shown.send(received);
    }
}

async fn forward(
    endpoint: &Endpoint,
    event: &Event,
    headers: &HeaderMap,
) -> Result<Answer, NoAnswer> {
    let mut request = endpoint.post().body(event.raw().clone());
    for name in [CONTENT_TYPE, HeaderName::from_static(SIGNATURE_HEADER)] {
        for value in headers.get_all(&name) {
            request = request.header(&name, value);
        }
    }
    http::send(request).await
}

fn status(forwarded: Option<&Result<Answer, NoAnswer>>) -> StatusCode {
    match forwarded {
        None => StatusCode::NO_CONTENT,
        Some(Ok(answer)) => answer.status,
        Some(Err(NoAnswer::TimedOut)) => StatusCode::GATEWAY_TIMEOUT,
        Some(Err(_)) => StatusCode::BAD_GATEWAY,
    }
}

fn respond(answer: Answer) -> Response {
    let mut response = (answer.status, answer.body).into_response();
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().extend(answer.content_type.map(|value| (CONTENT_TYPE, value)));
    response
}
