//! A proxy in front of DynamoDB that fails.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, sync::Semaphore};

/// The faults of the proxy. Clones share them.
#[derive(Clone)]
pub(crate) struct Faults(Arc<Proxy>);

struct Proxy {
    upstream: String,
    client: reqwest::Client,
    /// Of a hundred calls, as many are not done, and as many are done without an answer.
    percent: AtomicU32,
    refused_completions: AtomicU32,
    holds: [AtomicBool; 2],
    held: Semaphore,
}

/// A call of the store that can be held.
#[derive(Clone, Copy)]
pub(crate) enum Call {
    Claim,
    Completion,
}

impl Faults {
    /// Starts the proxy. Returns its URL, too.
    pub(crate) async fn of(upstream: String) -> (Self, String) {
        let this = Self(Arc::new(Proxy {
            upstream,
            client: reqwest::Client::new(),
            percent: AtomicU32::new(0),
            refused_completions: AtomicU32::new(0),
            holds: Default::default(),
            held: Semaphore::new(0),
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(forward).with_state(this.clone());
        tokio::spawn(async { axum::serve(listener, routes).await });
        (this, url)
    }

    /// Lets `percent` of all calls fail before they are done, and as many after that.
    pub(crate) fn of_all_calls(&self, percent: u32) {
        self.0.percent.store(percent, SeqCst);
    }

    /// Refuses the next `count` completions.
    pub(crate) fn refuse_completions(&self, count: u32) {
        self.0.refused_completions.store(count, SeqCst);
    }

    /// The number of completions that are still to be refused.
    pub(crate) fn completions_to_refuse(&self) -> u32 {
        self.0.refused_completions.load(SeqCst)
    }

    /// Holds the calls of this kind, or no longer: a claim is done and not answered, a completion is not done.
    pub(crate) fn hold(&self, call: Call, hold: bool) {
        self.0.holds[call as usize].store(hold, SeqCst);
    }

    /// Waits until a call is held.
    pub(crate) async fn until_held(&self) {
        self.0.held.acquire().await.unwrap().forget();
    }

    async fn forward_one(&self, headers: HeaderMap, body: Bytes) -> Response {
        let upstream = self.0.client.post(&self.0.upstream);
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
        let headers = headers.filter(|(name, _)| name != "host" && name != "content-length");
        let answer = upstream.headers(headers.collect()).body(body).send().await.unwrap();
        let status = answer.status();
        let content_type = [("content-type", "application/x-amz-json-1.0")];
        (status, content_type, answer.bytes().await.unwrap()).into_response()
    }

    /// Never returns if the calls of this kind are held.
    async fn pause_if_held(&self, call: Call) {
        if self.0.holds[call as usize].load(SeqCst) {
            self.0.held.add_permits(1);
            pending().await
        }
    }
}

async fn forward(State(faults): State<Faults>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body);
    let is_completion = text.contains("REMOVE holder");
    let is_claim = text.contains("attribute_not_exists");
    if is_completion {
        faults.pause_if_held(Call::Completion).await;
        let one_less = |left: u32| left.checked_sub(1);
        if faults.0.refused_completions.fetch_update(SeqCst, SeqCst, one_less).is_ok() {
            return failure();
        }
    }
    let (percent, chance) = (faults.0.percent.load(SeqCst), fastrand::u32(..100));
    if chance < percent {
        return failure();
    }
    let answer = faults.forward_one(headers, body.clone()).await;
    if is_claim {
        faults.pause_if_held(Call::Claim).await;
    }
    if chance < 2 * percent { failure() } else { answer }
}

fn failure() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
