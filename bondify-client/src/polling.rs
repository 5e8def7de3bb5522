use std::{
    mem::{Discriminant, discriminant},
    time::Duration,
};

use tokio::time::sleep;

use crate::{Error, Session, Sessions, Status};

/// The polling of one session: what [`Sessions::wait`] and [`Sessions::statuses`] share.
pub(crate) struct Polling {
    sessions: Sessions,
    session: Session,
    pause: Duration,
    /// How many requests have failed in a row.
    failures: u32,
    last: Option<Discriminant<Status>>,
}

impl Polling {
    /// The longest pause that failures lead to, so that a login is seen soon after an outage.
    const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

    pub(crate) fn new(sessions: Sessions, session: Session) -> Self {
        Self { sessions, session, pause: Duration::ZERO, failures: 0, last: None }
    }

    /// The next status that differs from the one before. Not to be called after a terminal
    /// one or an error.
    pub(crate) async fn next(&mut self) -> Result<Status, Error> {
        loop {
            sleep(self.pause.min(self.session.time_left())).await;
            let last_chance = self.session.time_left().is_zero();
            match self.sessions.status(self.session.session_token()).await {
                Ok(Status::Pending) if last_chance => return Ok(Status::Expired),
                Ok(status) => {
                    self.answered();
                    let before = self.last.replace(discriminant(&status));
                    if before != self.last {
                        return Ok(status);
                    }
                }
                Err(error) if error.is_transient() && !last_chance => {
                    self.failed(error.retry_after());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn answered(&mut self) {
        self.failures = 0;
        self.pause = self.interval();
    }

    /// Pauses for as long as the API asks, or else for the interval, doubled with each
    /// failure after the first.
    fn failed(&mut self, retry_after: Option<Duration>) {
        let factor = 2_u32.saturating_pow(self.failures);
        let backoff = self.interval().saturating_mul(factor).min(Self::LONGEST_BACKOFF);
        self.pause = retry_after.unwrap_or(backoff).max(self.interval());
        self.failures = self.failures.saturating_add(1);
    }

    fn interval(&self) -> Duration {
        self.sessions.client.poll_interval
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;
    use crate::{Client, session::Generated};

    fn polling(interval: Duration) -> Polling {
        let client = Client::builder().poll_interval(interval).build().unwrap();
        let session = r#"{"session_token":"s","deeplink":"d"}"#;
        let session: Generated = serde_json::from_str(session).unwrap();
        Polling::new(client.sessions("p"), session.try_into().unwrap())
    }

    #[test]
    fn it_asks_at_once() {
        assert_eq!(polling(Duration::from_secs(2)).pause, Duration::ZERO);
    }

    #[test]
    fn pauses_double_to_ten_seconds_and_an_answer_resets_them() {
        let mut polling = polling(Duration::from_millis(500));
        for _outage in 0..2 {
            let mut fail = || {
                polling.failed(None);
                polling.pause.as_millis()
            };
            let pauses: Vec<_> = iter::repeat_with(&mut fail).take(7).collect();
            assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
            assert_eq!(iter::repeat_with(fail).take(100).last(), Some(10_000));
            polling.answered();
            assert_eq!(polling.pause.as_millis(), 500);
        }
    }

    #[test]
    fn the_interval_is_the_least_pause_and_retry_after_has_the_last_word() {
        let mut polling = polling(Duration::from_secs(15));
        polling.failed(None);
        polling.failed(None);
        assert_eq!(polling.pause.as_secs(), 15);
        polling.failed(Some(Duration::ZERO));
        assert_eq!(polling.pause.as_secs(), 15);
        polling.failed(Some(Duration::from_secs(60)));
        assert_eq!(polling.pause.as_secs(), 60);
    }
}
