use std::{fmt::Display, time::Duration};

use bondify_core::{Bondify, Event, HandleError, Handled};
use futures_util::{StreamExt, stream};
use tokio::{task::JoinHandle, time::sleep};

use crate::{Developer, Error, List, PastEvents};

/// The number of events of one [`CatchUp::run`], by result.
///
/// ```
/// use bondify_client::CaughtUp;
///
/// /// Whether every event of the outage is handled.
/// fn is_complete(result: &CaughtUp) -> bool {
///     result.failed + result.too_old + result.too_young + result.unreadable == 0 && !result.has_more
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaughtUp {
    /// Events that the handler handled now.
    pub handled: u64,
    /// Events that were handled before, by a webhook, a poll or another instance.
    pub known: u64,
    /// Events that were not handled: the handler failed, the event was in flight elsewhere, or the store was
    /// unavailable. The log has the reason. The next run retries them.
    pub failed: u64,
    /// Events of the window that are older than Bondify's
    /// [tolerance](bondify_core::Builder::tolerance). The store may have forgotten whether they
    /// were handled, so the handler does not get them.
    pub too_old: u64,
    /// Events that are younger than the [minimum age](CatchUp::min_age). A later run handles them, unless
    /// the webhook does so before.
    pub too_young: u64,
    /// Sessions of the list that could not be read. The log names the field of the first.
    pub unreadable: u64,
    /// Whether the API says that it has more sessions than it sent.
    pub has_more: bool,
}

/// The number of events that are handled at the same time.
const CONCURRENCY: usize = 8;

enum Ended {
    Handled,
    Known,
    Failed,
    TooOld,
}

impl Ended {
    fn count(self, caught_up: &mut CaughtUp) -> &mut u64 {
        match self {
            Self::Handled => &mut caught_up.handled,
            Self::Known => &mut caught_up.known,
            Self::Failed => &mut caught_up.failed,
            Self::TooOld => &mut caught_up.too_old,
        }
    }
}

async fn handle<H, F, T, E>(bondify: Bondify, event: Event, handler: H) -> Ended
where
    H: FnOnce(Event) -> F,
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Display + Send + 'static,
{
    match bondify.handle(event.clone(), handler).await {
        Ok(Handled::Now(_)) => Ended::Handled,
        Ok(Handled::Duplicate) => Ended::Known,
        Err(HandleError::Stale) => Ended::TooOld,
        Err(error) => {
            tracing::warn!(%event, %error, "catch-up: the event was not handled");
            Ended::Failed
        }
    }
}

/// Catches up with the logins and cancellations that the server missed: once, or as a task that does so at
/// the start and then at an [interval](Self::every), so that an outage loses no login.
///
/// It lists the sessions, and gives every login and cancellation of the project to [`Bondify::handle`], the
/// oldest first, up to 8 at the same time. The store knows the events that were handled before, so it can run
/// at any time and on every instance. It continues after a failure.
///
/// - It waits until an event is 15 minutes old (see [`min_age`](Self::min_age)): the list has no phone numbers,
///   and until then Bondify may still deliver the webhook, which has them.
/// - It reaches back as far as Bondify's [tolerance](bondify_core::Builder::tolerance), 24 hours by
///   default: the store does not remember handled events for longer.
/// - The store has to survive a restart. With a store in memory, events from before the restart are
///   handled again; a warning in the log says so.
/// - The list has no time of a cancellation: the event gets the time at which the session was created. See
///   [`SessionRecord::event`](crate::SessionRecord::event).
///
/// ```no_run
/// # use std::io;
/// # use bondify_client::{CatchUp, Developer, Event};
/// # use bondify_core::Bondify;
/// # #[derive(Clone)]
/// # struct Users;
/// # impl Users {
/// #     async fn sign_in(&self, event: &Event) -> io::Result<()> { Ok(()) }
/// # }
/// # fn on_start(developer: Developer, bondify: Bondify, users: Users) {
/// CatchUp::new(&developer, &bondify, "proj_abc123")
///     .spawn(async move |event: Event| users.sign_in(&event).await);
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing runs until `run` or `spawn` is called"]
pub struct CatchUp {
    developer: Developer,
    bondify: Bondify,
    project_id: String,
    window: Duration,
    min_age: Duration,
    every: Duration,
}

impl CatchUp {
    /// The default [interval](Self::every): 10 minutes.
    pub const DEFAULT_EVERY: Duration = Duration::from_secs(10 * 60);

    /// The default [minimum age](Self::min_age): 15 minutes.
    pub const DEFAULT_MIN_AGE: Duration = Duration::from_secs(15 * 60);

    /// The minimum interval: 1 s.
    pub const MIN_EVERY: Duration = Duration::from_secs(1);

    /// The maximum pause after a failed call of the API that does not ask for another.
    const RETRY: Duration = Duration::from_secs(30);

    /// The maximum pause that the API can ask for.
    const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

    /// Creates the settings for a project whose webhooks `bondify` receives.
    pub fn new(developer: &Developer, bondify: &Bondify, project_id: impl Into<String>) -> Self {
        Self {
            developer: developer.clone(),
            bondify: bondify.clone(),
            project_id: project_id.into(),
            window: bondify.tolerance(),
            min_age: Self::DEFAULT_MIN_AGE,
            every: Self::DEFAULT_EVERY,
        }
    }

    /// Sets the maximum age of the events, which is Bondify's
    /// [tolerance](bondify_core::Builder::tolerance) by default. Events older than the tolerance are counted
    /// and not handled, so a window above the tolerance has no effect.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_client::CatchUp;
    ///
    /// fn last_hour(catch_up: CatchUp) -> CatchUp {
    ///     catch_up.window(Duration::from_secs(60 * 60))
    /// }
    /// ```
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sets the minimum age of the events, 15 minutes by default.
    ///
    /// Only a webhook and a proof have the phone number; the list of sessions has none. An event that is
    /// handled from the list while Bondify still retries its webhook is therefore handled without the phone
    /// number, and the webhook is then a duplicate. The schedule of the retries is not published. If you need
    /// no phone number, `Duration::ZERO` handles a missed login sooner.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_client::CatchUp;
    ///
    /// fn sooner(catch_up: CatchUp) -> CatchUp {
    ///     catch_up.min_age(Duration::ZERO).every(Duration::from_secs(60)) // no phone numbers
    /// }
    /// ```
    pub fn min_age(mut self, min_age: Duration) -> Self {
        self.min_age = min_age;
        self
    }

    /// Sets the pause between two runs. At least [`MIN_EVERY`](Self::MIN_EVERY).
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every.max(Self::MIN_EVERY);
        self
    }

    /// Catches up once: calls `handler` with each login and cancellation that the server missed.
    ///
    /// ```no_run
    /// use bondify_client::{CatchUp, Error, Event};
    ///
    /// async fn catch_up_now(catch_up: &CatchUp) -> Result<(), Error> {
    ///     let caught_up = catch_up.run(async |event| sign_in(event)).await?;
    ///     println!("{} handled, {} failed", caught_up.handled, caught_up.failed);
    ///     Ok(())
    /// }
    ///
    /// fn sign_in(event: Event) -> Result<(), String> {
    ///     println!("{event}"); // for example, insert the user into a table
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The [errors of every call](Developer#errors-of-every-call), if the sessions cannot be listed. No
    /// event was handled then. An event that cannot be handled is no error: it counts as
    /// [`failed`](CaughtUp::failed).
    pub async fn run<H, F, T, E>(&self, handler: H) -> Result<CaughtUp, Error>
    where
        H: FnOnce(Event) -> F + Clone,
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Display + Send + 'static,
    {
        let ages = self.min_age..=self.window;
        let PastEvents { events, too_young } =
            self.developer.past_events(&self.project_id, ages).await?;
        let List { records: events, unreadable, problem, has_more } = events;
        if let Some(problem) = problem {
            tracing::warn!(unreadable, problem, "catch-up: sessions could not be read");
        }
        if has_more {
            tracing::warn!("catch-up: the API has more sessions than it listed");
        }
        if self.bondify.forgets_on_restart() && !events.is_empty() {
            tracing::warn!(
                "catch-up: the dedupe store forgets on a restart, so events from before it are \
                 handled again; use a store that keeps them"
            );
        }
        let mut caught_up = CaughtUp { too_young, unreadable, has_more, ..CaughtUp::default() };
        let results = stream::iter(events)
            .map(|event| handle(self.bondify.clone(), event, handler.clone()))
            .buffer_unordered(CONCURRENCY);
        let results: Vec<_> = results.collect().await;
        for result in results {
            *result.count(&mut caught_up) += 1;
        }
        Ok(caught_up)
    }

    /// Starts a task on the current tokio runtime that catches up at once, and then at the
    /// [interval](Self::every). The runs of several instances are spread by a jitter of 10 %. A run that
    /// fails is logged and repeated. [`Bondify::drain`] ends the task. The
    /// returned handle can be dropped or aborted; an aborted run loses no event.
    ///
    /// ```no_run
    /// use bondify_client::{CatchUp, Event};
    ///
    /// fn on_start(catch_up: CatchUp) {
    ///     catch_up.spawn(sign_in); // until `Bondify::drain`
    /// }
    ///
    /// async fn sign_in(event: Event) -> Result<(), String> {
    ///     println!("{event}"); // for example, insert the user into a table
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn<H, F, T, E>(self, handler: H) -> JoinHandle<()>
    where
        H: FnOnce(Event) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Display + Send + 'static,
    {
        tokio::spawn(async move {
            let bondify = self.bondify.clone();
            bondify.until_drained(self.repeat(handler)).await;
        })
    }

    async fn repeat<H, F, T, E>(self, handler: H)
    where
        H: FnOnce(Event) -> F + Clone,
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Display + Send + 'static,
    {
        loop {
            let pause = match self.run(handler.clone()).await {
                Ok(caught_up) => {
                    tracing::debug!(?caught_up, "catch-up: caught up");
                    self.every
                }
                Err(error) => {
                    tracing::warn!(%error, "catch-up: the sessions cannot be listed");
                    pause_after(&error, self.every)
                }
            };
            sleep(with_jitter(pause)).await;
        }
    }
}

/// The pause, 10 % shorter to 10 % longer.
fn with_jitter(pause: Duration) -> Duration {
    let factor = 0.9 + 0.2 * fastrand::f64();
    Duration::try_from_secs_f64(pause.as_secs_f64() * factor).unwrap_or(pause)
}

/// The pause after an error: the one that the API asks for, or one shorter than the interval if a retry may
/// succeed.
fn pause_after(error: &Error, every: Duration) -> Duration {
    match error.retry_after() {
        Some(pause) => pause.clamp(CatchUp::MIN_EVERY, CatchUp::MAX_RETRY_AFTER),
        None if error.is_transient() => CatchUp::RETRY.min(every),
        None => every,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::{
        StatusCode,
        header::{HeaderMap, RETRY_AFTER},
    };

    use super::*;

    #[test]
    fn the_pause_after_a_refusal_is_the_one_that_the_api_asks_for() {
        let pause = |retry_after: Option<&str>, every| {
            let value = retry_after.map(|value| (RETRY_AFTER, value.parse().unwrap()));
            let headers = HeaderMap::from_iter(value);
            let error = Error::refused(StatusCode::TOO_MANY_REQUESTS, &headers, b"");
            pause_after(&error, Duration::from_secs(every)).as_secs()
        };
        assert_eq!(pause(None, 600), 30);
        assert_eq!(pause(None, 5), 5);
        assert_eq!(pause(Some("7"), 600), 7);
        assert_eq!(pause(Some("700"), 600), 700);
        assert_eq!(pause(Some("0"), 600), 1);
        assert_eq!(pause(Some("999999999"), 600), 3600);
        assert_eq!(pause_after(&Error::field("x"), Duration::from_secs(600)).as_secs(), 600);
    }

    #[test]
    fn the_jitter_is_ten_percent_and_no_interval_is_too_long() {
        for _ in 0..1000 {
            let pause = with_jitter(Duration::from_secs(100)).as_secs_f64();
            assert!((89.9..=110.1).contains(&pause), "{pause}");
        }
        assert!(with_jitter(Duration::MAX) > Duration::from_secs(1 << 62));
    }
}
