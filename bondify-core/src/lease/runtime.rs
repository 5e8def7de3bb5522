use std::{
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinHandle},
    time::{Instant, timeout_at},
};
use tracing::Instrument;

use crate::StoreError;

/// The runtime that store calls run on. It is the one that the manager was created on, so that a handler
/// that blocks its own runtime's thread cannot prevent the renewal of its lease. Once that runtime has
/// ended or no longer runs tasks, it is the first runtime that a call is made on after that.
#[derive(Default)]
pub(super) struct StoreRuntime(Mutex<Option<Home>>);

struct Home {
    runtime: Handle,
    renewer: AbortHandle,
    /// The time until which the runtime counts as running tasks, since the renewer has run.
    driven_until: Instant,
}

/// The state of the runtime that store calls run on.
pub(super) enum State {
    Driven,
    /// It has run no task recently, and is not the current runtime: its `block_on` may have returned.
    Suspect(Handle),
    /// There is no runtime.
    Missing,
}

impl StoreRuntime {
    /// Calls `then` with the runtime, if there is one. Calls `start_renewer` with each new runtime.
    pub(super) fn with<T>(
        &self,
        start_renewer: impl FnOnce(&Handle) -> JoinHandle<()>,
        then: impl FnOnce(&Handle) -> T,
    ) -> Option<T> {
        self.with_home(start_renewer, |home| then(&home.runtime))
    }

    pub(super) fn state(
        &self,
        start_renewer: impl FnOnce(&Handle) -> JoinHandle<()>,
        now: Instant,
    ) -> State {
        let state = self.with_home(start_renewer, |home| {
            if now < home.driven_until {
                return State::Driven;
            }
            match Handle::try_current() {
                Ok(current) if current.id() != home.runtime.id() => {
                    State::Suspect(home.runtime.clone())
                }
                _ => State::Driven,
            }
        });
        state.unwrap_or(State::Missing)
    }

    /// Records that the runtime runs tasks.
    pub(super) fn set_driven(&self, until: Instant) {
        if let Some(home) = &mut *self.lock() {
            home.driven_until = until;
        }
    }

    /// Abandons `runtime`. Returns `false` if another call did so before.
    pub(super) fn abandon(&self, runtime: &Handle) -> bool {
        let mut current = self.lock();
        let abandoned = current.take_if(|home| home.runtime.id() == runtime.id());
        abandoned.map(|home| home.renewer.abort()).is_some()
    }

    fn with_home<T>(
        &self,
        start_renewer: impl FnOnce(&Handle) -> JoinHandle<()>,
        then: impl FnOnce(&Home) -> T,
    ) -> Option<T> {
        let mut current = self.lock();
        if let Some(home) = current.as_ref().filter(|home| !home.renewer.is_finished()) {
            return Some(then(home));
        }
        let runtime = Handle::try_current().ok()?;
        let renewer = start_renewer(&runtime).abort_handle();
        let home = current.insert(Home { runtime, renewer, driven_until: Instant::now() });
        Some(then(home))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Home>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StoreRuntime {
    fn drop(&mut self) {
        if let Some(home) = &*self.lock() {
            home.renewer.abort();
        }
    }
}

/// A call to a store, which continues even if its caller is dropped.
pub(crate) enum Call<T> {
    Done(T),
    Running(JoinHandle<T>),
}

impl<T: Send + 'static> Call<T> {
    /// Starts a call on `runtime`. If it is not answered at once, as by a store in memory, it continues in
    /// a task, which dropping the caller does not cancel.
    pub(super) fn start(runtime: &Handle, call: impl Future<Output = T> + Send + 'static) -> Self {
        let mut call: Pin<Box<_>> = Box::pin(call);
        let _timers_belong_to_it = runtime.enter();
        // The task polls it again, with a waker of its own.
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Self::Done(answer),
            Poll::Pending => Self::Running(runtime.spawn(call.in_current_span())),
        }
    }
}

impl<T> Call<Result<T, StoreError>> {
    /// Waits for the answer until `give_up`.
    pub(crate) async fn answer(self, give_up: Instant) -> Result<T, StoreError> {
        match self {
            Self::Done(answer) => answer,
            Self::Running(task) => match timeout_at(give_up, task).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(ended)) => Err(StoreError::new(ended)),
                Err(late) => Err(StoreError::new(late)),
            },
        }
    }
}
