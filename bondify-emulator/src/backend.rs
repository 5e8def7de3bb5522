use std::{
    mem,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use tokio::sync::{broadcast, mpsc, watch};

use crate::{
    Change, clock::Clock, command::Command, history::History, journal::Journal, state::State,
};

/// The state, and the effects of its changes: each change is written to the state file, passed
/// to the dispatcher and sent to all listeners, in the order in which they happen.
pub(crate) struct Backend {
    clock: Clock,
    shared: Mutex<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    listeners: broadcast::Sender<Change>,
    /// The number of the next change.
    next_change: watch::Sender<u64>,
}

struct Shared {
    state: State,
    journal: Option<Journal>,
    /// The error of the state file, while it cannot be written.
    failure: Option<String>,
    history: History,
}

impl Backend {
    /// The number of changes that a listener may be behind before it misses some.
    const CHANGE_BUFFER: usize = 1024;

    pub(crate) fn new(
        state: State,
        journal: Option<Journal>,
        clock: Clock,
    ) -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (commands, dispatcher) = mpsc::unbounded_channel();
        let history = History::new(clock.now());
        let next_change = watch::Sender::new(history.next());
        let shared = Mutex::new(Shared { state, journal, failure: None, history });
        let listeners = broadcast::Sender::new(Self::CHANGE_BUFFER);
        (Self { clock, shared, commands, listeners, next_change }, dispatcher)
    }

    /// Reads or changes the state, at the current time.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State, SystemTime) -> T) -> T {
        let now = self.clock.now();
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut shared.state, now);
        let changes = shared.state.take_changes();
        if !changes.is_empty() {
            self.write(&mut shared, &changes);
        }
        for change in changes {
            if let Some(order) = Command::of(&change, now) {
                // The dispatcher has ended if the emulator is stopped.
                let _ = self.commands.send(order);
            }
            shared.history.push(change.clone());
            // There may be no listeners.
            let _ = self.listeners.send(change);
        }
        let next = shared.history.next();
        self.next_change.send_if_modified(|number| mem::replace(number, next) != next);
        result
    }

    /// Writes changes to the state file, and announces when that fails and when it succeeds again.
    fn write(&self, shared: &mut Shared, changes: &[Change]) {
        let Shared { state, journal, failure, .. } = shared;
        let Some(journal) = journal else { return };
        let error = journal.append(changes, state).err().map(|error| error.to_string());
        if error.is_some() != failure.is_some() {
            failure.clone_from(&error);
            let _ = self.listeners.send(Change::StateFile(error));
        }
    }

    /// Whether all changes are in the state file. Tries again to write it if they are not.
    pub(crate) fn is_stored(&self) -> bool {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.failure.is_some() {
            self.write(&mut shared, &[]);
        }
        shared.failure.is_none()
    }

    /// Closes the state file, so that another emulator may use it.
    pub(crate) fn close(&self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).journal = None;
    }

    /// The changes from this number on, if they are kept, and the number of the next change.
    pub(crate) fn changes_from(&self, number: Option<u64>) -> (Option<Vec<Change>>, u64) {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = number.and_then(|number| shared.history.from(number));
        (changes, shared.history.next())
    }

    /// The number of the next change, as it grows.
    pub(crate) fn next_change(&self) -> watch::Receiver<u64> {
        self.next_change.subscribe()
    }

    /// The changes from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Change> {
        self.listeners.subscribe()
    }
}
