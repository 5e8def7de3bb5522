use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use time::OffsetDateTime;

/// A clock with a resolution of a millisecond, as in JSON and in the state file.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    pub(crate) fn new(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(clock))
    }

    pub(crate) fn now(&self) -> SystemTime {
        from_unix_ms(unix_ms((self.0)()))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

/// Milliseconds since 1970; 0 for earlier times.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis().try_into().unwrap_or(u64::MAX)
}

pub(crate) fn from_unix_ms(ms: u64) -> SystemTime {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A time in UTC in ISO 8601, to the millisecond.
pub(crate) fn iso(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let [h, m, s] = [time.hour(), time.minute(), time.second()];
    format!("{}T{h:02}:{m:02}:{s:02}.{:03}Z", time.date(), time.millisecond())
}

/// Whether `time` can be shown as a date: none is after the year 9999.
pub(crate) fn has_a_date(time: SystemTime) -> bool {
    const END_OF_9999: u64 = 253_402_300_799_999;
    unix_ms(time) <= END_OF_9999
}

/// For `#[serde(with = "…")]`: a time as Unix milliseconds.
pub(crate) mod as_unix_ms {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(super::unix_ms(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let time = Some(super::from_unix_ms(u64::deserialize(from)?));
        let time = time.filter(|time| super::has_a_date(*time));
        time.ok_or_else(|| D::Error::custom("after the year 9999"))
    }
}

/// For `#[serde(with = "…")]`: a span of time as milliseconds.
pub(crate) mod as_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        span.as_millis().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
