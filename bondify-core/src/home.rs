//! Where store calls run: on one runtime, in tasks that outlive their callers.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, timeout_at},
};
use tracing::Instrument;

use crate::{Bondify, StoreError, renewal::renew_leases};

/// How long a delivery waits for a store that does not answer.
pub(crate) const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// The runtime that store calls run on: the one `Bondify` was built on, so that a
/// handler that blocks its own runtime's thread cannot starve its lease; or the first
/// one seen since that one ended.
#[derive(Default)]
pub(crate) struct Home(Mutex<Option<(Handle, AbortHandle)>>);

impl Drop for Home {
    fn drop(&mut self) {
        let home = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, renewer)) = home {
            renewer.abort();
        }
    }
}

impl Bondify {
    /// The home runtime. Its renewer lives exactly as long as it does.
    pub(crate) fn home(&self) -> Option<Handle> {
        self.at_home(Handle::clone)
    }

    /// [`home`](Self::home), for those that need not keep it.
    pub(crate) fn at_home<T>(&self, then: impl FnOnce(&Handle) -> T) -> Option<T> {
        let mut home = self.shared.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((runtime, renewer)) = &*home
            && !renewer.is_finished()
        {
            return Some(then(runtime));
        }
        let runtime = Handle::try_current().ok()?;
        let every = self.shared.settings.lease / 3;
        let renewer = runtime.spawn(renew_leases(Arc::downgrade(&self.shared), every));
        let (runtime, _) = home.insert((runtime, renewer.abort_handle()));
        Some(then(runtime))
    }

    /// Makes a store call. If it answers at once, as a store in memory does, that is
    /// all; otherwise it goes on in a task of its own, which a caller that goes away
    /// does not cancel. The caller waits for it until `deadline`.
    pub(crate) fn call_store<T, F>(
        &self,
        call: F,
        deadline: Instant,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        let home = self.home();
        let mut call = Box::pin(unpanicking(call));
        async move {
            let home = home.ok_or_else(|| StoreError::new("there is no tokio runtime"))?;
            let first_poll = poll_fn(|context| {
                let _timers_belong_to_home = home.enter();
                Poll::Ready(call.as_mut().poll(context))
            });
            if let Poll::Ready(answer) = first_poll.await {
                return answer;
            }
            match timeout_at(deadline, home.spawn(call.in_current_span())).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(ended)) => Err(StoreError::new(ended)),
                Err(late) => Err(StoreError::new(late)),
            }
        }
    }
}

/// A store that panics has failed, like one that says so.
pub(crate) fn unpanicking<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> impl Future<Output = Result<T, StoreError>> {
    let panicked = |_: Box<dyn Any + Send>| Err(StoreError::new("the store panicked"));
    AssertUnwindSafe(call).catch_unwind().map(move |answer| answer.unwrap_or_else(panicked))
}
