//! The waiting room: the logins that connections of this process wait for, and the place of each connection.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bondify_core::EventKey;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{Notify, oneshot, watch};

use crate::{State, limits::MAX_WAITING_PER_LOGIN};

/// The logins that connections of this process wait for.
pub(crate) struct Waits {
    room: Mutex<Room>,
    max: usize,
    pub(crate) keep_alive: Duration,
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
pub(crate) type Decision = Shared<BoxFuture<'static, State>>;

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

    /// Gives a place to a connection that waits for a session, and returns its number. `decide` begins to wait for the
    /// decision, if no other connection does. `None` if no connection may wait, or the process shuts down.
    pub(crate) fn enter(
        &self,
        session: EventKey,
        over_at: SystemTime,
        now: SystemTime,
        decide: impl FnOnce(Arc<Notify>) -> Decision,
    ) -> Option<(u64, oneshot::Receiver<()>, Decision)> {
        if self.max == 0 || *self.closed.borrow() {
            return None;
        }
        let mut room = self.room();
        room.make_place(session, self.max, now);
        let (held, lost) = oneshot::channel();
        let number = room.next;
        room.next += 1;
        room.places.insert(number, Place { session, over_at, _held: held });
        let wait = room.logins.entry(session).or_insert_with(|| {
            let woken = Arc::new(Notify::new());
            Wait { decision: decide(woken.clone()), woken, connections: 0 }
        });
        wait.connections += 1;
        Some((number, lost, wait.decision.clone()))
    }

    pub(crate) fn leave(&self, number: u64) {
        self.room().leave(number);
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
