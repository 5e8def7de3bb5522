use std::{sync::Arc, time::SystemTime};

/// The source of the time: the system's clock, unless another is set.
#[derive(Clone)]
pub(crate) struct Clock(Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>);

impl Clock {
    /// The clock that is read by [`SystemTime::now`], which panics on wasm32-unknown-unknown.
    pub(crate) fn system() -> Self {
        if cfg!(all(target_family = "wasm", target_os = "unknown")) {
            Self::NONE
        } else {
            Self::new(SystemTime::now)
        }
    }

    pub(crate) fn new(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(clock)))
    }

    pub(crate) const NONE: Self = Self(None);

    /// The time. `None` if there is no clock.
    pub(crate) fn now(&self) -> Option<SystemTime> {
        self.0.as_ref().map(|clock| clock())
    }
}
