//! The connections that wait for a login. The tabs of a login share one poll.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bondify_core::EventKey;
use bytes::Bytes;
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, Shared},
    stream::{self, BoxStream},
};
use tokio::{
    sync::{Notify, oneshot, watch},
    time::sleep,
};

use crate::{
    Login, State,
    limits::{MAX_WAITING_PER_LOGIN, RECONNECT_AFTER},
    pending::Pending,
};

/// The logins that connections of this process wait for.
pub(crate) struct Waits {
    room: Mutex<Room>,
    max: usize,
    keep_alive: Duration,
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct Room {
    logins: HashMap<EventKey, Wait>,
    /// One for each connection, the oldest first.
    places: BTreeMap<u64, Place>,
    next: u64,
}

struct Wait {
    decision: Decision,
    woken: Arc<Notify>,
    connections: usize,
}

/// The place of a connection in the waiting room. A connection that does not read cannot be ended, but loses
/// its place.
struct Place {
    session: EventKey,
    over_at: SystemTime,
    /// Ends the stream when it is dropped.
    _held: oneshot::Sender<()>,
}

/// The future of a login's decision. It polls Bondify while one of its clones is polled, and stops when
/// the last clone is dropped.
type Decision = Shared<BoxFuture<'static, State>>;

impl Waits {
    pub(crate) fn new(max: usize, keep_alive: Duration) -> Self {
        Self { room: Mutex::default(), max, keep_alive, closed: watch::Sender::new(false) }
    }

    /// The number of connections that wait for a login that is not over.
    pub(crate) fn len(&self, now: SystemTime) -> usize {
        self.room().places.values().filter(|place| place.over_at > now).count()
    }

    pub(crate) fn wake(&self, session: &EventKey) {
        if let Some(wait) = self.room().logins.get(session) {
            wait.woken.notify_one();
        }
    }

    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Makes place for another connection of this login: places end with their login, and if there is still
    /// none, the oldest connection loses its place.
    fn make_place(&mut self, session: EventKey, max: usize, now: SystemTime) {
        self.numbers(|place| place.over_at <= now).into_iter().for_each(|over| self.leave(over));
        let of_login = self.numbers(|place| place.session == session);
        if of_login.len() >= MAX_WAITING_PER_LOGIN {
            self.leave(of_login[0]);
        }
        if self.places.len() >= max {
            self.numbers(|_| true).first().into_iter().for_each(|oldest| self.leave(*oldest));
        }
    }

    /// The numbers of the places that match, the oldest first.
    fn numbers(&self, matches: impl Fn(&Place) -> bool) -> Vec<u64> {
        let places = self.places.iter().filter(|(_, place)| matches(place));
        places.map(|(number, _)| *number).collect()
    }

    fn leave(&mut self, number: u64) {
        let Some(place) = self.places.remove(&number) else { return };
        if let Some(wait) = self.logins.get_mut(&place.session) {
            wait.connections -= 1;
            if wait.connections == 0 {
                self.logins.remove(&place.session);
            }
        }
    }
}

impl Login {
    /// Returns a stream of server-sent events that waits for the decision. `None` if no connection may
    /// wait, or the process shuts down.
    pub(crate) fn wait(&self, login: Pending) -> Option<BoxStream<'static, Bytes>> {
        let waits = &self.0.waits;
        if waits.max == 0 || *waits.closed.borrow() {
            return None;
        }
        let session = login.key();
        self.listen();
        let mut room = waits.room();
        room.make_place(session, waits.max, (self.0.clock)());
        let (held, lost) = oneshot::channel();
        let place = Place { session, over_at: login.is_over_at(), _held: held };
        let number = room.next;
        room.next += 1;
        room.places.insert(number, place);
        let wait = room.logins.entry(session).or_insert_with(|| {
            let (this, woken) = (self.clone(), Arc::new(Notify::new()));
            let until = woken.clone();
            let decision = async move { this.decision(&login, &until).await };
            Wait { decision: decision.boxed().shared(), woken, connections: 0 }
        });
        wait.connections += 1;
        let decision = wait.decision.clone();
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
        self.login.0.waits.room().leave(self.number);
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
