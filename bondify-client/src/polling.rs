use std::{
    mem::{Discriminant, discriminant},
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use tokio::time::sleep;

use crate::{Error, Session, SessionStatus, Sessions};

impl Sessions {
    /// Polls until the user has decided, and returns the first status that
    /// [is terminal](SessionStatus::is_terminal). It sends no request after that.
    ///
    /// ```no_run
    /// use bondify_client::{Client, SessionStatus};
    ///
    /// # async fn example() -> Result<(), bondify_client::Error> {
    /// let sessions = Client::new()?.sessions("proj_abc123");
    /// let session = sessions.generate().await?;
    /// println!("open {}", session.deeplink());
    ///
    /// match sessions.wait(&session).await? {
    ///     SessionStatus::Confirmed(login) => println!("welcome, {}", login.user().name()),
    ///     status => println!("not confirmed: {}", status.name()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It sends the first request at once, and then:
    ///
    /// | response | |
    /// |---|---|
    /// | `pending` | the next request follows after the [interval](crate::ClientBuilder::poll_interval), 2 s by default, or that of [`slowed_to`](Self::slowed_to) if it is longer |
    /// | `confirmed`, `cancelled`, `expired`, `used` | returned |
    /// | network error, time-out, incomplete response, 408, 5xx | retried; the pauses double up to 10 s, and the next successful response resets them |
    /// | 429 | retried after the time in `Retry-After` |
    /// | any other status but 2xx | an error at once |
    /// | a complete response that is not as documented, or an unknown status | an error at once |
    /// | any, once the session has expired | returned; a pending session is [`Expired`](SessionStatus::Expired) |
    ///
    /// It sends a last request when the session expires, to see a late confirmation. The time
    /// until then is [`expires_at`](Session::expires_at) less the `Date` of the response, both by
    /// the server's clock, and is measured from the arrival of the response: this machine's clock
    /// does not matter. It is 10 minutes if the API does not send both. A session
    /// that is still pending then is [`Expired`](SessionStatus::Expired); an error of the last
    /// request is returned. So a session that expired long ago costs one request.
    ///
    /// **Cancel-safe**: dropping the future loses nothing, and another call for the same
    /// session continues. Each call sends a request at once, so a loop that drops the future
    /// repeatedly should keep the stream of [`statuses`](Self::statuses) instead.
    ///
    /// # Errors
    ///
    /// [`Error`] at once if a retry would not help: a refusal other than 408, 429 and 5xx, an unknown
    /// status, and a complete response that is not the documented JSON. Any error of the last request,
    /// after the session has expired.
    pub async fn wait(&self, session: &Session) -> Result<SessionStatus, Error> {
        let mut polling = Polling::new(self.clone(), session.clone());
        loop {
            let status = polling.next().await?;
            if status.is_terminal() {
                return Ok(status);
            }
        }
    }

    /// Polls like [`wait`](Self::wait), and returns every change of status as a stream: usually
    /// [`Pending`](SessionStatus::Pending) once, and then the user's decision. The last item is
    /// the terminal status, or the error that ended the polling.
    ///
    /// Requests are sent only while the stream is polled. Dropping its
    /// [`next`](StreamExt::next) loses nothing.
    ///
    /// ```no_run
    /// use bondify_client::{Error, Session, Sessions};
    /// use futures_util::StreamExt;
    ///
    /// async fn print(sessions: &Sessions, session: &Session) -> Result<(), Error> {
    ///     let mut statuses = sessions.statuses(session);
    ///     while let Some(status) = statuses.next().await {
    ///         println!("{}", status?.name());
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn statuses(
        &self,
        session: &Session,
    ) -> impl Stream<Item = Result<SessionStatus, Error>> + Send + Unpin + use<> {
        let polling = Polling::new(self.clone(), session.clone());
        stream::unfold(Some(polling), async |polling| {
            let mut polling = polling?;
            let status = polling.next().await;
            let is_pending = status.as_ref().is_ok_and(|status| !status.is_terminal());
            Some((status, is_pending.then_some(polling)))
        })
        .fuse()
        .boxed()
    }
}

/// The polling of one session, for [`Sessions::wait`] and [`Sessions::statuses`].
struct Polling {
    sessions: Sessions,
    session: Session,
    pause: Duration,
    /// The number of requests that have failed in a row.
    failures: u32,
    last: Option<Discriminant<SessionStatus>>,
}

impl Polling {
    /// The maximum pause after failures: short, so that a login is seen soon after an outage.
    const MAX_BACKOFF: Duration = Duration::from_secs(10);

    fn new(sessions: Sessions, session: Session) -> Self {
        Self { sessions, session, pause: Duration::ZERO, failures: 0, last: None }
    }

    /// Returns the next status that differs from the one before. Must not be called after a
    /// terminal status or an error.
    async fn next(&mut self) -> Result<SessionStatus, Error> {
        loop {
            sleep(self.pause.min(self.session.time_left())).await;
            let is_last = self.session.time_left().is_zero();
            match self.sessions.status(self.session.session_token()).await {
                Ok(SessionStatus::Pending) if is_last => return Ok(SessionStatus::Expired),
                Ok(status) => {
                    self.succeeded();
                    let before = self.last.replace(discriminant(&status));
                    if before != self.last {
                        return Ok(status);
                    }
                }
                Err(error) if error.is_transient() && !is_last => {
                    self.failed(error.retry_after());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn succeeded(&mut self) {
        self.failures = 0;
        self.pause = self.interval();
    }

    /// Sets the pause to `retry_after`, or else to the interval, doubled with each failure
    /// after the first.
    fn failed(&mut self, retry_after: Option<Duration>) {
        let factor = 2_u32.saturating_pow(self.failures);
        let backoff = self.interval().saturating_mul(factor).min(Self::MAX_BACKOFF);
        self.pause = retry_after.unwrap_or(backoff).max(self.interval());
        self.failures = self.failures.saturating_add(1);
    }

    fn interval(&self) -> Duration {
        self.sessions.poll_interval
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;
    use crate::{Client, session::GenerateResponse};

    fn polling(interval: Duration) -> Polling {
        let client = Client::builder().poll_interval(interval).build().unwrap();
        let session = r#"{"session_token":"s","deeplink":"d"}"#;
        let session: GenerateResponse = serde_json::from_str(session).unwrap();
        Polling::new(client.sessions("p"), session.into_session(None).unwrap())
    }

    #[test]
    fn the_first_request_is_sent_at_once() {
        assert_eq!(polling(Duration::from_secs(2)).pause, Duration::ZERO);
    }

    #[test]
    fn pauses_double_to_ten_seconds_and_a_success_resets_them() {
        let mut polling = polling(Duration::from_millis(500));
        for _outage in 0..2 {
            let mut fail = || {
                polling.failed(None);
                polling.pause.as_millis()
            };
            let pauses: Vec<_> = iter::repeat_with(&mut fail).take(7).collect();
            assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
            assert_eq!(iter::repeat_with(fail).take(100).last(), Some(10_000));
            polling.succeeded();
            assert_eq!(polling.pause.as_millis(), 500);
        }
    }

    #[test]
    fn the_interval_can_be_made_longer_but_not_shorter() {
        let interval = |slowed_to| {
            let mut polling = polling(Duration::from_secs(2));
            polling.sessions = polling.sessions.slowed_to(Duration::from_secs(slowed_to));
            polling.succeeded();
            polling.pause.as_secs()
        };
        assert_eq!([0, 2, 15].map(interval), [2, 2, 15]);
    }

    #[test]
    fn the_interval_is_the_minimum_pause_and_retry_after_comes_before_backoff() {
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
