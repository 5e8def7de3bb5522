use std::time::Duration;

use bondify_core::{Bondify, Builder, Claimed, Reply, Secret};
use tokio::time::sleep;

use super::adapter::{Adapter, App, Attached, PATH, Server};
use crate::{Call, Connection, Payload, ProbeStore, Response, Script, WebhookRequest};

/// A server under test with its store and its handler's script.
pub struct Rig {
    /// The receiver of the server.
    pub bondify: Bondify,
    pub(super) script: Script,
    pub(super) store: ProbeStore,
    /// The server.
    pub server: Server,
}

/// A time that does not expire on a slow machine.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// A lease that is renewed in time on a slow machine, and often enough for a test.
pub(super) const RENEWED: Duration = Duration::from_secs(1);

/// A lease that a case waits for to expire.
pub(super) const SHORT: Duration = Duration::from_millis(300);

pub(super) const ACQUIRED: fn(&Call) -> bool =
    |call| matches!(call, Call::Claim(Claimed::Acquired(_)));
pub(super) const IN_FLIGHT: fn(&Call) -> bool = |call| *call == Call::Claim(Claimed::InFlight);
pub(super) const COMPLETED: fn(&Call) -> bool = |call| *call == Call::Complete(true);
pub(super) const SETTLED: fn(&Call) -> bool =
    |call| matches!(call, Call::Complete(_) | Call::Release(_));

impl Rig {
    /// Starts a server that has Bondify on its route.
    pub async fn start<A: Adapter>() -> Self {
        Self::with::<A>(|builder| builder).await
    }

    pub(super) async fn with<A: Adapter>(configure: impl FnOnce(Builder) -> Builder) -> Self {
        Self::serve::<A>(Attached::Once, configure).await.expect("the server starts")
    }

    pub(super) async fn attached<A: Adapter>(attached: Attached) -> Option<Self> {
        Self::serve::<A>(attached, |builder| builder).await
    }

    async fn serve<A: Adapter>(
        attached: Attached,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Option<Self> {
        let store = ProbeStore::new(A::store().await);
        let builder = Bondify::builder(secret())
            .store(store.clone())
            .lease(LONG)
            .wait(LONG)
            .allow_long_wait();
        let bondify = configure(builder).build().expect("the case's settings make sense");
        let script = Script::default();
        let app = App { bondify: bondify.clone(), script: script.clone(), attached };
        let server = A::serve(app).await?;
        Some(Self { bondify, script, store, server })
    }

    pub(super) async fn open(&self) -> Connection {
        Connection::open(self.server.address()).await.expect("the server accepts connections")
    }

    pub(super) async fn post(&self, request: &WebhookRequest) -> Response {
        self.open().await.post(PATH, request).await.expect("the server responds")
    }

    /// Opens a connection and sends the request, without waiting for the response.
    pub(super) async fn begin(&self, request: &WebhookRequest) -> Connection {
        let mut connection = self.open().await;
        connection.send(&request.to_http1(PATH)).await.expect("the server reads");
        connection
    }

    /// Waits until `count` deliveries are verified and not yet answered.
    pub(super) async fn running(&self, count: usize) {
        while self.bondify.running() != count {
            sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) fn runs(&self) -> usize {
        self.script.progress().started.len()
    }

    /// Posts a request and asserts that Bondify answers it without running the handler.
    pub(super) async fn refuses(&self, request: &WebhookRequest, status: u16, code: &str) {
        let runs = self.runs();
        assert_reply(&self.post(request).await, status, code);
        assert_eq!(self.runs(), runs, "the handler did not run");
        assert_eq!(self.store.calls(), [], "nothing was claimed");
    }
}

/// The secret of the deliveries.
pub fn secret() -> Secret {
    Secret::new("whsec_5f2b0c9d8e7a6b5c4d3e2f1a0b9c8d7e").expect("a valid secret")
}

pub(super) fn confirmed() -> WebhookRequest {
    Payload::confirmed().signed_with(&secret())
}

pub(super) async fn response(mut connection: Connection) -> Response {
    connection.response().await.expect("the server responds")
}

pub(crate) async fn get(server: &Server, path: &str, headers: impl AsRef<[u8]>) -> Response {
    let start = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n");
    let request = [start.as_bytes(), headers.as_ref(), b"\r\n"].concat();
    let mut connection = Connection::open(server.address()).await.expect("the server accepts");
    connection.send(&request).await.expect("the server reads");
    connection.response().await.expect("the server responds")
}

/// Asserts the status, code and JSON format of a reply, which are the same in every framework.
/// The literals in the cases are the contract, and core's table must agree with them.
#[track_caller]
pub(super) fn assert_reply(response: &Response, status: u16, code: &str) {
    let shown = format!("{response:?}");
    assert_eq!((response.status, response.code().as_deref()), (status, Some(code)), "{shown}");
    assert!(response.is_json(), "{shown}");
    let retry_makes_sense = matches!(status, 409 | 503);
    let retry_after = response.header("retry-after").and_then(|it| it.parse::<u64>().ok());
    assert_eq!(retry_after.is_some(), retry_makes_sense, "{shown}");
    let reply = Reply::ALL
        .iter()
        .find(|reply| reply.code() == code)
        .expect("core has a reply with this code");
    assert_eq!((response.status, &*response.body), (reply.status(), reply.body()));
}

#[track_caller]
pub(super) fn assert_handled(response: &Response) {
    assert_eq!((response.status, response.code()), (200, None), "{response:?}");
}
