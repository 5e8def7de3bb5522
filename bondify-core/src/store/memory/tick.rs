use std::time::Duration;

/// The tick that `time` falls in, of 64 ms each since the store's creation, which is in the
/// first.
///
/// A completed key is kept to the end of the tick it runs out in: up to 64 ms
/// longer, never shorter. The ticks last for 8.7 years; a store that
/// old remembers its new keys until there is no room.
pub(super) fn tick(time: Duration) -> u32 {
    u32::try_from(1 + time.as_millis() / 64).unwrap_or(NEVER)
}

/// The tick that no other comes after.
pub(super) const NEVER: u32 = u32::MAX;
