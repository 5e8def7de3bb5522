//! The connections that wait for a login. The tabs of a login share one poll.

use std::{fmt::Write, sync::Arc};

use bytes::Bytes;
use futures_util::{
    FutureExt, Stream, StreamExt,
    stream::{self, BoxStream},
};
use tokio::{
    sync::{Notify, oneshot},
    time::sleep,
};

use crate::{Login, State, limits::RECONNECT_AFTER, pending::Pending, room::Decision};

impl Login {
    /// Returns a stream of server-sent events that waits for the decision. `None` if no connection may
    /// wait, or the process shuts down.
    pub(crate) fn wait(&self, login: Pending) -> Option<BoxStream<'static, Bytes>> {
        self.listen();
        let (session, over_at, now) = (login.key(), login.is_over_at(), (self.0.clock)());
        let this = self.clone();
        let decide = |woken: Arc<Notify>| {
            async move { this.decision(&login, &woken).await }.boxed().shared()
        };
        let (number, lost, decision) = self.0.waits.enter(session, over_at, now, decide)?;
        Some(events(Connection { login: self.clone(), number, lost, decision }).boxed())
    }
}

/// A waiting connection, which leaves its place when it is dropped.
struct Connection {
    login: Login,
    number: u64,
    /// Resolves when the connection has lost its place.
    lost: oneshot::Receiver<()>,
    decision: Decision,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.login.0.waits.leave(self.number);
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

    /// Waits for the next frame. `None` when the connection has lost its place, and when the process shuts
    /// down.
    async fn next(&mut self) -> Option<Frame> {
        let waits = &self.login.0.waits;
        let mut closed = waits.closed();
        tokio::select! {
            biased;
            _ = &mut self.lost => None,
            _ = closed.wait_for(|closed| *closed) => None,
            state = &mut self.decision => Some(Frame::State(state)),
            () = sleep(waits.keep_alive) => Some(Frame::Heartbeat),
        }
    }
}

fn event(state: &State) -> Bytes {
    let mut event = String::from("event: state\n");
    // The JSON has no line ends, which would end the field `data`.
    let _infallible = write!(event, "data: {}\n\n", state.to_json());
    event.into()
}
