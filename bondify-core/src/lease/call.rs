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
pub(crate) enum Call<T> {
    Done(T),
    Running(JoinHandle<T>),
}

impl<T: Send + 'static> Call<T> {
    /// Starts a call on `runtime`. If it is not answered at once, as by a store in memory, it continues in
    /// a task, which neither a dropped caller nor a blocked thread can stop.
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

impl<T, E: From<StoreError>> Call<Result<T, E>> {
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
