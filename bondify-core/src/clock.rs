//! Clocks that lag behind by a few milliseconds. On Linux they are read in a fraction of the
//! time that the exact ones take.

use std::time::Duration;
#[cfg(not(target_os = "linux"))]
use std::time::{Instant, SystemTime};

/// By how much they lag behind at most: a tick of the system's timer.
pub(crate) const LAG: Duration = Duration::from_millis(10);

/// The time since the Unix epoch.
#[cfg(target_os = "linux")]
pub(crate) fn since_epoch() -> Duration {
    read(rustix::time::ClockId::RealtimeCoarse)
}

/// The time since a moment that stays the same while the process runs.
#[cfg(target_os = "linux")]
pub(crate) fn monotonic() -> Duration {
    read(rustix::time::ClockId::MonotonicCoarse)
}

#[cfg(target_os = "linux")]
fn read(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn monotonic() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}
