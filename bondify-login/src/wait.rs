//! The connections that wait for a login: one poll for each login, shared by its tabs.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    limits::{KEEP_ALIVE, MAX_WAITING_PER_LOGIN, RECONNECT_AFTER},
    pending::Pending,
};

/// The logins that connections of this process wait for.
pub(crate) struct Waits {
    logins: Mutex<HashMap<String, Wait>>,
    max: usize,
    closed: watch::Sender<bool>,
}

struct Wait {
    decision: Decision,
    woken: Arc<Notify>,
    connections: usize,
}

/// Polls while one of its clones is polled, and stops when the last is dropped.
type Decision = Shared<BoxFuture<'static, State>>;

impl Waits {
    pub(crate) fn new(max: usize) -> Self {
        Self { logins: Mutex::default(), max, closed: watch::Sender::new(false) }
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
    /// Waits for the decision as a stream of server-sent events. `None` if too many connections
    /// wait already, or the process shuts down.
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

/// The events of a connection. The first frame is sent at once, so that proxies pass the
/// response's head on.
fn events(connection: Connection) -> impl Stream<Item = Bytes> + Send {
    let first = format!("retry: {}\n\n", RECONNECT_AFTER.as_millis());
    let rest = stream::unfold(Some(connection), async |connection| {
        let mut connection = connection?;
        Some(match connection.next().await {
            Some(Frame::KeepAlive) => (Bytes::from_static(b":\n\n"), Some(connection)),
            Some(Frame::State(state)) => (event(&state), None),
            None => return None,
        })
    });
    stream::iter([Bytes::from(first)]).chain(rest)
}

enum Frame {
    KeepAlive,
    State(State),
}

impl Connection {
    /// The next frame; `None` when the process shuts down.
    async fn next(&mut self) -> Option<Frame> {
        let mut closed = self.login.0.waits.closed.subscribe();
        tokio::select! {
            state = &mut self.decision => Some(Frame::State(state)),
            () = sleep(KEEP_ALIVE) => Some(Frame::KeepAlive),
            _ = closed.wait_for(|closed| *closed) => None,
        }
    }
}

fn event(state: &State) -> Bytes {
    let mut event = String::from("event: state\n");
    // JSON has no line ends, which would end the data.
    let _infallible = write!(event, "data: {}\n\n", state.to_json());
    event.into()
}
