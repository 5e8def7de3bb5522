use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::sync::{broadcast, mpsc, watch};

use crate::{
    Change,
    clock::{Clock, unix_ms},
    journal::Journal,
    state::State,
};

/// The state, and the effects of its changes: each change is written to the state file, passed
/// to the dispatcher and sent to all listeners, in the order in which they happen.
pub(crate) struct Backend {
    clock: Clock,
    shared: Mutex<Shared>,
    /// To the dispatcher: each change, and its time.
    changes: mpsc::UnboundedSender<(Change, SystemTime)>,
    listeners: broadcast::Sender<Change>,
    /// The number of the next change.
    next_change: watch::Sender<u64>,
}

struct Shared {
    state: State,
    journal: Option<Journal>,
    /// The error of the state file, while it cannot be written.
    failure: Option<String>,
}

impl Backend {
    /// The number of changes that a listener may be behind before it misses some.
    const CHANGE_BUFFER: usize = 1024;

    pub(crate) fn new(
        state: State,
        journal: Option<Journal>,
        clock: Clock,
    ) -> (Self, mpsc::UnboundedReceiver<(Change, SystemTime)>) {
        let (changes, dispatcher) = mpsc::unbounded_channel();
        // Starts at the time, so that a number of an earlier emulator is not one of this emulator.
        let next_change = watch::Sender::new(unix_ms(clock.now()));
        let shared = Mutex::new(Shared { state, journal, failure: None });
        let listeners = broadcast::Sender::new(Self::CHANGE_BUFFER);
        (Self { clock, shared, changes, listeners, next_change }, dispatcher)
    }

    /// Reads or changes the state, at the current time.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let now = self.clock.now();
        let mut shared = self.lock();
        shared.state.now = now;
        let result = act(&mut shared.state);
        let changes = shared.state.take_changes();
        if changes.is_empty() {
            return result;
        }
        self.write(&mut shared, &changes);
        self.next_change.send_modify(|number| *number += changes.len() as u64);
        for change in changes {
            // The dispatcher may have ended, and there may be no listeners.
            let _ = self.changes.send((change.clone(), now));
            let _ = self.listeners.send(change);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut shared = self.lock();
        if shared.failure.is_some() {
            self.write(&mut shared, &[]);
        }
        shared.failure.is_none()
    }

    /// Closes the state file, so that another emulator may use it.
    pub(crate) fn close(&self) {
        self.lock().journal = None;
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
