use std::time::Duration;

/// The number of the tick that `time` falls in. A tick lasts 64 ms, and the first begins with the
/// store's creation.
///
/// A completed key is kept to the end of the tick in which it runs out, up to 64 ms longer than its
/// retention. The numbers last for 8.7 years. After that, a store keeps its new keys until it is full.
pub(super) fn tick(time: Duration) -> u32 {
    u32::try_from(1 + time.as_millis() / 64).unwrap_or(NEVER)
}

/// The last tick.
pub(super) const NEVER: u32 = u32::MAX;
