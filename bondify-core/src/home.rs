//! Where store calls run: on one runtime, in tasks that outlive their callers.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream};
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{Bondify, EventKey, LeaseToken, StoreError, bondify::Shared};

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
        let mut home = self
            .shared
            .home
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((runtime, renewer)) = &*home
            && !renewer.is_finished()
        {
            return Some(runtime.clone());
        }
        let runtime = Handle::try_current().ok()?;
        let renewer = runtime.spawn(renew_leases(
            Arc::downgrade(&self.shared),
            self.shared.settings.lease / 3,
        ));
        *home = Some((runtime.clone(), renewer.abort_handle()));
        Some(runtime)
    }

    /// Makes a store call. If it answers at once, as a store in memory does, that is
    /// all; otherwise it goes on in a task of its own, which a caller that goes away
    /// does not cancel. The caller waits for it until `deadline`.
    pub(crate) async fn call_store<T, F>(&self, call: F, deadline: Instant) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        let home = self
            .home()
            .ok_or_else(|| StoreError::new("there is no tokio runtime"))?;
        let mut call = Box::pin(unpanicking(call));
        let first_poll = poll_fn(|context| {
            let _timers_belong_to_home = home.enter();
            Poll::Ready(call.as_mut().poll(context))
        });
        if let Poll::Ready(answer) = first_poll.await {
            return answer;
        }
        let task = home.spawn(self.shared.running.track_future(call));
        match timeout_at(deadline, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(ended)) => Err(StoreError::new(ended)),
            Err(late) => Err(StoreError::new(late)),
        }
    }
}

/// Renews the lease of every running handler every third of a lease, whatever its age:
/// most handlers end before their first renewal is due and cost no timer.
async fn renew_leases(shared: Weak<Shared>, every: Duration) {
    loop {
        sleep(every).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let leases: Vec<_> = shared.leases().iter().copied().collect();
        let renewals = stream::iter(leases).for_each_concurrent(CONCURRENT_RENEWALS, |lease| {
            let renewal = shared.renew(lease);
            async move {
                if timeout(every, renewal).await.is_err() {
                    tracing::error!("a lease was not renewed in time: the store does not answer");
                }
            }
        });
        renewals.await;
    }
}

const CONCURRENT_RENEWALS: usize = 64;

impl Shared {
    async fn renew(&self, lease @ (key, token): (EventKey, LeaseToken)) {
        let Some(store) = &self.store else { return };
        match unpanicking(store.renew(&key, &token, self.settings.lease)).await {
            Ok(true) => {}
            // Settled in the meantime, unless it is still among the running ones.
            Ok(false) => {
                if self.leases().remove(&lease) {
                    tracing::error!(session = %key.short(), "a running handler lost its lease");
                }
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, session = %key.short(), "a lease was not renewed");
            }
        }
    }
}

/// A store that panics has failed, like one that says so.
async fn unpanicking<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let panicked = |_: Box<dyn Any + Send>| Err(StoreError::new("the store panicked"));
    AssertUnwindSafe(call)
        .catch_unwind()
        .await
        .unwrap_or_else(panicked)
}
