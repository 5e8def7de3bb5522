//! A server with the example's metrics whose faults a test causes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::MethodRouter};
use bondify_axum::{
    Bondify, BondifyEvent, BondifyExt, Claimed, DedupeStore, EventKey, LeaseToken, MemoryStore,
    Secret, StoreError, async_trait,
};
use bondify_testkit::{Connection, Payload, ProbeStore, Script, WebhookRequest};
use example_observability::record_metrics;
use example_support::process::own_address;
use tokio::{net::TcpListener, time::sleep};

/// The route whose store is [`Server::store`].
pub(crate) const PATH: &str = "/webhooks/bondify";

/// The route whose store has room for one event.
pub(crate) const SMALL: &str = "/webhooks/small";

/// The route whose store takes the time of [`Server::slow`] for a claim.
pub(crate) const SLOW: &str = "/webhooks/slow";

pub(crate) struct Server {
    address: SocketAddr,
    metrics: SocketAddr,
    pub(crate) script: Script,
    pub(crate) store: ProbeStore,
    pub(crate) slow: Slow,
}

impl Server {
    /// Of one process, only one server can be started: it installs the recorder of metrics.
    pub(crate) async fn start() -> Self {
        let metrics = own_address();
        record_metrics(metrics).unwrap();
        let (script, store) = (Script::default(), ProbeStore::new(MemoryStore::new()));
        let slow = Slow::default();
        let app = Router::new()
            .route(PATH, hook(store.clone(), &script))
            .route(SMALL, hook(MemoryStore::with_capacity(1), &script))
            .route(SLOW, hook(slow.clone(), &script));
        Self { address: serve(app).await, metrics, script, store, slow }
    }

    pub(crate) async fn open(&self) -> Connection {
        Connection::open(self.address).await.unwrap()
    }

    pub(crate) async fn post(&self, request: &WebhookRequest) -> u16 {
        self.post_to(PATH, request).await
    }

    pub(crate) async fn post_to(&self, path: &str, request: &WebhookRequest) -> u16 {
        self.open().await.post(path, request).await.unwrap().status
    }

    /// Sends requests and does not wait for their answers.
    pub(crate) async fn start_posts(&self, path: &str, posts: usize) -> VecDeque<Connection> {
        let mut connections = VecDeque::new();
        for _ in 0..posts {
            let mut connection = self.open().await;
            connection.send(&confirmed().to_http1(path)).await.unwrap();
            connections.push_back(connection);
        }
        connections
    }

    pub(crate) async fn metrics(&self) -> String {
        let mut connection = Connection::open(self.metrics).await.unwrap();
        connection.send(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        connection.response().await.unwrap().body
    }
}

fn hook(store: impl DedupeStore, script: &Script) -> MethodRouter {
    // A duplicate does not wait, and a held handler has its lease renewed soon.
    let builder = Bondify::builder(secret()).wait(Duration::ZERO).lease(Duration::from_secs(5));
    let script = script.clone();
    builder.store(store).build().unwrap().post(async move |event: BondifyEvent| {
        StatusCode::from_u16(script.handle(&event).await.unwrap()).unwrap()
    })
}

pub(crate) async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    address
}

pub(crate) fn secret() -> Secret {
    Secret::new("whsec_test").unwrap()
}

pub(crate) fn confirmed() -> WebhookRequest {
    Payload::confirmed().signed_with(&secret())
}

/// A store in memory whose next claims take the given times.
#[derive(Clone, Default)]
pub(crate) struct Slow {
    store: MemoryStore,
    times: Arc<Mutex<VecDeque<Duration>>>,
}

impl Slow {
    pub(crate) fn next_claims_take(&self, times: impl IntoIterator<Item = Duration>) {
        self.times.lock().unwrap().extend(times);
    }
}

#[async_trait]
impl DedupeStore for Slow {
    async fn claim(&self, key: &EventKey, lease: Duration) -> Result<Claimed, StoreError> {
        let time = self.times.lock().unwrap().pop_front();
        sleep(time.unwrap_or_default()).await;
        self.store.claim(key, lease).await
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        self.store.renew(key, token, lease).await
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        self.store.complete(key, token, retention).await
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        self.store.release(key, token).await
    }
}
