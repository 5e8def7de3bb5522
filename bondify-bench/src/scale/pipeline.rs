use std::{convert::Infallible, future::pending};

use bondify_core::{
    Bondify, Event, MemoryStore, Reply, SIGNATURE_HEADER,
    adapter::{Claim, Head, Headers, RequestHead},
};
use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_TYPE, HeaderName},
};
use tokio::runtime::{self, Runtime};

use crate::{
    events::{USUAL_SIZE, body, secret, signature},
    rounds::thread_time,
};

/// The pipeline of a delivery between a server and its handler.
pub(super) struct Pipeline {
    runtime: Runtime,
    bondify: Bondify,
    /// The number of the next event.
    next: u64,
}

impl Pipeline {
    pub(super) fn new() -> Self {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system has a thread to spare");
        let bondify = runtime.block_on(async {
            let store = MemoryStore::with_capacity(10_000_000);
            Bondify::builder(secret()).store(store).build().expect("makes sense")
        });
        Self { runtime, bondify, next: 1 << 32 }
    }

    /// Starts `handlers` handlers that do not end.
    pub(super) fn occupy(&self, handlers: usize) {
        self.runtime.block_on(async {
            for number in 0..handlers as u64 {
                let (_event, claim) = self.receive(request(number)).await.expect("is fresh");
                drop(claim.run(async || pending::<()>().await, |()| 200));
            }
        });
    }

    /// Nanoseconds per delivery, at a given share of duplicates.
    pub(super) fn deliver(&mut self, deliveries: u64, duplicates: f64) -> f64 {
        let fresh = (deliveries as f64 * (1.0 - duplicates)).round().max(1.0) as u64;
        let first = self.next;
        self.next += fresh;
        // Every event is fresh when it is sent first: its duplicates are sent in later turns.
        let requests: Vec<_> = (0..deliveries).map(|at| request(first + at % fresh)).collect();
        let start = thread_time();
        self.runtime.block_on(async {
            for request in requests {
                match self.receive(request).await {
                    Ok((_event, claim)) => {
                        claim.run(async || 200, |&status| status).await.expect("runs");
                    }
                    Err(reply) => assert_eq!(reply.status(), 200),
                }
            }
        });
        (thread_time() - start).as_nanos() as f64 / deliveries as f64
    }

    async fn receive(&self, (headers, body): (HeaderMap, Bytes)) -> Result<(Event, Claim), Reply> {
        let body = stream::iter([Ok::<_, Infallible>(body)]);
        self.bondify.claim(Head::of(&Post(headers)), body).await
    }
}

/// The head of a delivery.
struct Post(HeaderMap);

impl Headers for Post {
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
        self.0.visit(name, visit);
    }
}

impl RequestHead for Post {
    fn method(&self) -> &str {
        "POST"
    }

    fn path(&self) -> &str {
        "/"
    }
}

fn request(number: u64) -> (HeaderMap, Bytes) {
    let body = body(USUAL_SIZE, number);
    let signature = HeaderValue::try_from(signature(&body)).expect("is hex");
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (HeaderName::from_static(SIGNATURE_HEADER), signature),
    ]);
    (headers, body)
}
