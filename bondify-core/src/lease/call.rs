use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tracing::Instrument;

use crate::StoreError;

/// A call to a store, which continues even if its caller is dropped.
pub(crate) enum Call<T, E> {
    Done(Result<T, E>),
    Running(JoinHandle<Result<T, E>>),
}

impl<T: Send + 'static, E: From<StoreError> + Send + 'static> Call<T, E> {
    /// Starts a call on `runtime`. If it is not answered at once, as by a store in memory, it continues in
    /// a task, which neither a dropped caller nor a blocked thread can stop.
    pub(super) fn start(
        runtime: Option<Handle>,
        call: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Self {
        let Some(runtime) = runtime else {
            return Self::Done(Err(StoreError::new("there is no tokio runtime").into()));
        };
        let mut call: Pin<Box<_>> = Box::pin(call);
        let _timers_belong_to_it = runtime.enter();
        // The task polls it again, with a waker of its own.
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Self::Done(answer),
            Poll::Pending => Self::Running(runtime.spawn(call.in_current_span())),
        }
    }

    /// Waits for the answer until `give_up`.
    pub(crate) async fn answer(self, give_up: Instant) -> Result<T, E> {
        match self {
            Self::Done(answer) => answer,
            Self::Running(task) => {
                let ended = timeout_at(give_up, task).await.map_err(StoreError::new)?;
                ended.map_err(StoreError::new)?
            }
        }
    }
}
