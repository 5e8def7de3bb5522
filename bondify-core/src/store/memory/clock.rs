//! A clock that may lag behind by a few milliseconds: on Linux it is read in a fraction of the
//! time that the exact one takes.

use std::time::Duration;

/// By how much it lags behind at most: a tick of the system's timer.
pub(crate) const LAG: Duration = Duration::from_millis(10);

/// The time since a moment that stays the same while the process runs.
#[cfg(target_os = "linux")]
pub(crate) fn monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn monotonic() -> Duration {
    use std::{sync::LazyLock, time::Instant};

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}
