use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

/// A token bucket for each project: a minute's requests at once, refilled evenly.
#[derive(Debug)]
pub(crate) struct RateLimit {
    per_minute: u32,
    buckets: HashMap<String, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: SystemTime,
}

impl RateLimit {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, buckets: HashMap::new() }
    }

    /// Takes a token, or returns the time until there is one.
    pub(crate) fn admit(&mut self, project_id: &str, now: SystemTime) -> Result<(), Duration> {
        let size = f64::from(self.per_minute);
        let per_second = size / 60.0;
        let full = Bucket { tokens: size, filled_at: now };
        let bucket = self.buckets.entry(project_id.to_owned()).or_insert(full);
        let elapsed = now.duration_since(bucket.filled_at).unwrap_or_default();
        bucket.tokens = (bucket.tokens + elapsed.as_secs_f64() * per_second).min(size);
        bucket.filled_at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = Duration::try_from_secs_f64((1.0 - bucket.tokens) / per_second);
        Err(wait.unwrap_or(Duration::MAX).min(Duration::from_secs(60)))
    }

    pub(crate) fn clear(&mut self) {
        self.buckets.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_minutes_requests_are_allowed_at_once_then_evenly() {
        let mut limit = RateLimit::new(6);
        for _ in 0..6 {
            assert_eq!(limit.admit("shop", at(0)), Ok(()));
        }
        assert_eq!(limit.admit("shop", at(0)), Err(Duration::from_secs(10)));
        assert_eq!(limit.admit("blog", at(0)), Ok(()), "to each their own");
        assert!(limit.admit("shop", at(9)).is_err());
        assert_eq!(limit.admit("shop", at(10)), Ok(()));
        assert!(limit.admit("shop", at(10)).is_err());
    }

    #[test]
    fn unused_tokens_do_not_accumulate() {
        let mut limit = RateLimit::new(2);
        limit.admit("shop", at(0)).unwrap();
        let admitted = (0..9).filter(|_| limit.admit("shop", at(86_400)).is_ok());
        assert_eq!(admitted.count(), 2);
    }

    #[test]
    fn a_limit_of_zero_refuses_every_request() {
        let wait = RateLimit::new(0).admit("shop", at(0)).unwrap_err();
        assert_eq!(wait, Duration::from_secs(60));
    }
}
