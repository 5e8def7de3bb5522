//! The connections that wait for a login. The tabs of a login share one poll.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, Shared},
    stream::{self, BoxStream},
};
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use crate::{
    Login, State,
    limits::{MAX_WAITING_PER_LOGIN, RECONNECT_AFTER},
    pending::Pending,
};

/// The logins that connections of this process wait for.
pub(crate) struct Waits {
    logins: Mutex<HashMap<String, Wait>>,
    max: usize,
    keep_alive: Duration,
    closed: watch::Sender<bool>,
}

struct Wait {
    decision: Decision,
    woken: Arc<Notify>,
    connections: usize,
}

/// The future of a login's decision. It polls Bondify while one of its clones is polled, and stops when
/// the last clone is dropped.
type Decision = Shared<BoxFuture<'static, State>>;

impl Waits {
    pub(crate) fn new(max: usize, keep_alive: Duration) -> Self {
        Self { logins: Mutex::default(), max, keep_alive, closed: watch::Sender::new(false) }
    }

    /// The number of waiting connections.
    pub(crate) fn len(&self) -> usize {
        self.lock().values().map(|wait| wait.connections).sum()
    }

    pub(crate) fn wake(&self, session_token: &str) {
        if let Some(wait) = self.lock().get(session_token) {
            wait.woken.notify_one();
        }
    }

    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Wait>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Login {
    /// Returns a stream of server-sent events that waits for the decision. `None` if too many
    /// connections wait already or the process shuts down.
    pub(crate) fn wait(&self, login: Pending) -> Option<BoxStream<'static, Bytes>> {
        let waits = &self.0.waits;
        let mut logins = waits.lock();
        let waiting: usize = logins.values().map(|wait| wait.connections).sum();
        if waiting >= waits.max || *waits.closed.borrow() {
            return None;
        }
        let session_token = login.session_token.clone();
        let wait = logins.entry(session_token.clone()).or_insert_with(|| {
            let (this, woken) = (self.clone(), Arc::new(Notify::new()));
            let until = woken.clone();
            let decision = async move { this.0.decision(&login, &until).await };
            Wait { decision: decision.boxed().shared(), woken, connections: 0 }
        });
        if wait.connections >= MAX_WAITING_PER_LOGIN {
            return None;
        }
        wait.connections += 1;
        let decision = wait.decision.clone();
        Some(events(Connection { login: self.clone(), session_token, decision }).boxed())
    }
}

/// A waiting connection, counted until it is dropped.
struct Connection {
    login: Login,
    session_token: String,
    decision: Decision,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut logins = self.login.0.waits.lock();
        if let Some(wait) = logins.get_mut(&self.session_token) {
            wait.connections -= 1;
            if wait.connections == 0 {
                logins.remove(&self.session_token);
            }
        }
    }
}

/// The events of a connection. The first heartbeat is sent at once: proxies then forward the response's
/// head, and the page knows that the stream gets through.
fn events(connection: Connection) -> impl Stream<Item = Bytes> + Send {
    let retry = Bytes::from(format!("retry: {}\n", RECONNECT_AFTER.as_millis()));
    let first = [retry, connection.heartbeat()];
    let rest = stream::unfold(Some(connection), async |connection| {
        let mut connection = connection?;
        Some(match connection.next().await {
            Some(Frame::Heartbeat) => (connection.heartbeat(), Some(connection)),
            Some(Frame::State(state)) => (event(&state), None),
            None => return None,
        })
    });
    stream::iter(first).chain(rest)
}

enum Frame {
    Heartbeat,
    State(State),
}

impl Connection {
    /// The event from which the page knows that the stream is not silent. Its data is the pause
    /// until the next one, in milliseconds.
    fn heartbeat(&self) -> Bytes {
        let pause = self.login.0.waits.keep_alive.as_millis();
        format!("event: heartbeat\ndata: {pause}\n\n").into()
    }

    /// Waits for the next frame. `None` when the process shuts down.
    async fn next(&mut self) -> Option<Frame> {
        let waits = &self.login.0.waits;
        let mut closed = waits.closed.subscribe();
        tokio::select! {
            state = &mut self.decision => Some(Frame::State(state)),
            () = sleep(waits.keep_alive) => Some(Frame::Heartbeat),
            _ = closed.wait_for(|closed| *closed) => None,
        }
    }
}

fn event(state: &State) -> Bytes {
    let mut event = String::from("event: state\n");
    // The JSON has no line ends, which would end the field `data`.
    let _infallible = write!(event, "data: {}\n\n", state.to_json());
    event.into()
}
