//! A coarse clock, which lags behind by up to 10 ms. On Linux it saves a fifth of the time of a
//! claim and its completion: 100 of 440 ns, at a million keys.

use std::time::Duration;

/// The time since a fixed moment, which is the same while the process runs.
#[cfg(target_os = "linux")]
pub(crate) fn monotonic() -> Duration {
    use coarsetime::Instant;

    (Instant::now_without_cache_update() - Instant::from_ticks(0)).into()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn monotonic() -> Duration {
    use std::{sync::LazyLock, time::Instant};

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}
