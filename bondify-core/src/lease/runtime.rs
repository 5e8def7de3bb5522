use std::{
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinHandle},
    time::{Instant, timeout_at},
};
use tracing::Instrument;

use crate::StoreError;

/// The runtime that store calls run on: the one that the manager was made on, so that a
/// handler that blocks its own runtime's thread cannot starve its lease; or, once that one has
/// ended, the first one seen since.
#[derive(Default)]
pub(super) struct StoreRuntime(Mutex<Option<(Handle, AbortHandle)>>);

impl StoreRuntime {
    /// Calls `then` with the runtime, if there is one, and `start_renewer` with each new one.
    pub(super) fn with<T>(
        &self,
        start_renewer: impl FnOnce(&Handle) -> JoinHandle<()>,
        then: impl FnOnce(&Handle) -> T,
    ) -> Option<T> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((runtime, renewer)) = &*current
            && !renewer.is_finished()
        {
            return Some(then(runtime));
        }
        let runtime = Handle::try_current().ok()?;
        let renewer = start_renewer(&runtime).abort_handle();
        let (runtime, _) = current.insert((runtime, renewer));
        Some(then(runtime))
    }
}

impl Drop for StoreRuntime {
    fn drop(&mut self) {
        let current = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, renewer)) = current {
            renewer.abort();
        }
    }
}

/// A call that ends whoever waits for it.
pub(crate) enum Call<T> {
    Done(T),
    Running(JoinHandle<T>),
}

impl<T: Send + 'static> Call<T> {
    /// Starts a call on `runtime`. If it is answered at once, as by a store in memory, that
    /// is all; otherwise it continues in a task, which a caller that goes away does not cancel.
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
    /// The answer, waited for until `give_up`.
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
