mod forward;
mod received;

use std::fmt::{self, Display};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use bondify_core::{
    Bondify, Event,
    adapter::{self, Head},
};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use reqwest::Url;
use serde::Serialize;
use tokio::{
    select,
    sync::{mpsc, oneshot},
};

use self::{
    forward::{Forwarded, forward},
    received::{Received, Shown},
};
use crate::{
    exit::Exit,
    host::HostArgs,
    http::{Endpoint, EndpointArgs, NoAnswer},
    interrupt::Interrupts,
    output::Output,
    secret::SecretArgs,
    values,
};

/// The maximum size of a delivery: far more than Bondify sends.
const MAX_DELIVERY_BYTES: usize = 16 * 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  bondify listen --port 3000
  bondify listen --port 8080 --forward-to http://127.0.0.1:3000/webhooks/bondify";

/// Receive deliveries: verify, show and forward them
///
/// Forwards the exact bytes with all headers, and answers the delivery as the endpoint answers:
/// 502 if there is no answer, 504 after a time-out. Without --forward-to the answer is
/// 204. A delivery with a wrong signature is refused and never forwarded. Ctrl-C ends it, with
/// exit code 0.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The port to listen on, at any path; 0 is any free port
    #[arg(long)]
    port: u16,

    #[command(flatten)]
    host: HostArgs,

    /// The endpoint to forward deliveries to
    #[arg(long, value_name = "URL", value_parser = values::url)]
    forward_to: Option<Url>,

    #[command(flatten)]
    endpoint: EndpointArgs,

    #[command(flatten)]
    secret: SecretArgs,
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let mut interrupts = Interrupts::new()?;
        let (shown, mut to_show) = mpsc::unbounded_channel();
        let upstream = |url| self.endpoint.upstream(url);
        let bondify = Bondify::builder(self.secret.secret()?).verify_only();
        let listener = Listener {
            bondify: bondify.body_limit(MAX_DELIVERY_BYTES).build()?,
            forward_to: self.forward_to.map(upstream).transpose()?,
            shown,
        };
        let port = self.host.listen(self.port).await?;
        let (listening, open) = (format!("http://{}", port.address()), self.host.is_open());
        output.show(&Listening { listening, open })?;

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
    /// Whether other machines can connect.
    open: bool,
}

impl Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listening on {}", self.listening)?;
        if self.open { write!(f, ", open to other machines") } else { Ok(()) }
    }
}

#[derive(Clone)]
struct Listener {
    bondify: Bondify,
    forward_to: Option<Endpoint>,
    shown: mpsc::UnboundedSender<Shown>,
}

async fn receive(State(listener): State<Listener>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let received = listener.bondify.claim(Head::of(&head), body.into_data_stream()).await;
    let handled = match received {
        Ok((event, claim)) => {
            let handler = async move || listener.handle(event, &head.headers).await;
            claim.run(handler, |response: &Response| response.status().as_u16()).await
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
        let Some(endpoint) = &self.forward_to else {
            let status = StatusCode::NO_CONTENT;
            self.show(Received::verified(&event, status));
            return status.into_response();
        };
        match forward(endpoint, event.raw().clone(), headers).await {
            Ok(Forwarded { response, latency }) => {
                self.show(Received::verified(&event, response.status()).after(latency));
                self.watched(response, &event)
            }
            Err(error) => {
                let status = match error {
                    NoAnswer::TimedOut => StatusCode::GATEWAY_TIMEOUT,
                    NoAnswer::Failed(_) => StatusCode::BAD_GATEWAY,
                };
                self.show(Received::verified(&event, status).failed(&error));
                status.into_response()
            }
        }
    }

    /// Shows if the body of the answer breaks off, which the sender sees as well.
    fn watched(&self, response: Response, event: &Event) -> Response {
        let (shown, event) = (self.shown.clone(), event.name().to_owned());
        response.map(|body| {
            Body::new(body.map_err(move |error| {
                let _ = shown.send(Shown::broken_off(&event, &error));
                error
            }))
        })
    }

    /// Shows a delivery. Does nothing once the command ends.
    fn show(&self, received: Received) {
        let _ = self.shown.send(Shown::Received(received));
    }
}
