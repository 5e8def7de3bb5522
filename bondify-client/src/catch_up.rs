use std::{
    fmt::Display,
    time::{Duration, SystemTime},
};

use bondify_core::{Bondify, Event, HandleError, Handled};
use futures_util::{StreamExt, stream};
use tokio::{task::JoinHandle, time::sleep};

use crate::{Developer, Error, SessionRecord};

/// The number of events of one [`catch_up`](Developer::catch_up), by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaughtUp {
    /// Events that the handler handled now.
    pub handled: u64,
    /// Events that were handled before, by a webhook, a poll or another instance.
    pub known: u64,
    /// Events that were not handled: the handler failed, the event was in flight elsewhere, the
    /// store was unavailable, or the API did not send the user's id. The log has the reason. The next
    /// `catch_up` retries them.
    pub failed: u64,
    /// Events of the window that are older than Bondify's
    /// [tolerance](bondify_core::Builder::tolerance). The store may have forgotten whether they
    /// were handled, so the handler does not get them.
    pub too_old: u64,
}

/// The number of events that are handled at the same time.
const CONCURRENCY: usize = 8;

impl Developer {
    /// Calls `handler` once with each login and cancellation that the server missed.
    ///
    /// It lists the sessions, and gives every login and cancellation of the project that is not
    /// older than `window` to [`Bondify::handle`], the oldest first, up to 8 at the same time. The
    /// store knows the events that were handled before, so this can be called at any time and from
    /// any instance. It continues after a failure. Events older than the tolerance are counted
    /// and not handled, so a `window` above the tolerance has no effect.
    ///
    /// If the store forgets on a restart, as the default one in memory does, events from before
    /// the restart are handled again. A warning says so in the log.
    ///
    /// The list has fewer fields than a webhook: see [`SessionRecord::event`]. It contains as many
    /// sessions as the API returns.
    ///
    /// ```no_run
    /// # use std::{io, time::Duration};
    /// # use bondify_client::{Developer, Event};
    /// # use bondify_core::Bondify;
    /// # #[derive(Clone)]
    /// # struct Users;
    /// # impl Users {
    /// #     async fn sign_in(&self, event: &Event) -> io::Result<()> { Ok(()) }
    /// # }
    /// # async fn on_start(developer: Developer, bondify: Bondify, users: Users)
    /// # -> Result<(), bondify_client::Error> {
    /// let hours = Duration::from_secs(6 * 60 * 60);
    /// let handler = async move |event: Event| users.sign_in(&event).await;
    /// let caught_up = developer.catch_up(&bondify, "proj_abc123", hours, handler).await?;
    /// println!("{} logins were missed", caught_up.handled);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The [errors of every call](Self#errors-of-every-call), if the sessions cannot be listed. No
    /// event was handled then. An event that cannot be handled is no error: it counts as
    /// [`failed`](CaughtUp::failed).
    pub async fn catch_up<H, F, T, E>(
        &self,
        bondify: &Bondify,
        project_id: &str,
        window: Duration,
        handler: H,
    ) -> Result<CaughtUp, Error>
    where
        H: FnOnce(Event) -> F + Clone,
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Display + Send + 'static,
    {
        let mut sessions = self.sessions().await?;
        sessions.retain(|session| session.project_id == project_id);
        let (events, mut caught_up) = missed(&sessions, window, bondify.tolerance());
        if bondify.forgets_on_restart() && !events.is_empty() {
            tracing::warn!(
                "catch-up: the dedupe store forgets on a restart, so events from before it are \
                 handled again; use a store that keeps them"
            );
        }
        let bondify = bondify.clone();
        let results = stream::iter(events)
            .map(move |event| handle(bondify.clone(), event, handler.clone()))
            .buffer_unordered(CONCURRENCY);
        let results: Vec<_> = results.collect().await;
        for result in results {
            *result.count(&mut caught_up) += 1;
        }
        Ok(caught_up)
    }
}

/// Returns the events to handle, the oldest first, and counts those that cannot be handled.
fn missed(
    sessions: &[SessionRecord],
    window: Duration,
    tolerance: Duration,
) -> (Vec<Event>, CaughtUp) {
    let now = SystemTime::now();
    let age = |time: SystemTime| now.duration_since(time).unwrap_or_default();
    let (mut events, mut caught_up) = (Vec::new(), CaughtUp::default());
    for session in sessions {
        let Some(event) = session.event() else {
            if session.status.login().is_some() && age(session.created_at) <= window {
                tracing::warn!("catch-up: the API lists a login without the user's id");
                caught_up.failed += 1;
            }
            continue;
        };
        let age = event.occurred_at().map(age).unwrap_or_default();
        if age <= window.min(tolerance) {
            events.push(event);
        } else if age <= window {
            caught_up.too_old += 1;
        }
    }
    events.sort_by_key(Event::occurred_at);
    (events, caught_up)
}

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
        Ok(Handled::Before) => Ended::Known,
        Err(HandleError::Stale) => Ended::TooOld,
        Err(error) => {
            tracing::warn!(%event, %error, "catch-up: the event was not handled");
            Ended::Failed
        }
    }
}

/// A task that catches up at the start and then at an [interval](Self::every), so that an outage loses
/// no login.
///
/// Each run is a [`Developer::catch_up`]. [`Bondify::drain`] ends the task. The runs of several
/// instances are spread by a jitter of 10 %.
///
/// - It reaches back as far as Bondify's [tolerance](bondify_core::Builder::tolerance), 24 hours by
///   default: the store does not remember handled events for longer.
/// - The store has to survive a restart. With a store in memory, events from before the restart are
///   handled again; a warning in the log says so.
/// - The list of sessions has no phone numbers and no time of a cancellation: the event gets the time
///   at which the session was created.
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
#[must_use = "nothing runs until `spawn` is called"]
pub struct CatchUp {
    developer: Developer,
    bondify: Bondify,
    project_id: String,
    window: Duration,
    every: Duration,
}

impl CatchUp {
    /// The default [interval](Self::every): 10 minutes.
    pub const DEFAULT_EVERY: Duration = Duration::from_secs(10 * 60);

    /// The minimum interval: 1 s.
    pub const MIN_EVERY: Duration = Duration::from_secs(1);

    /// The maximum pause after a failed call of the API.
    const RETRY: Duration = Duration::from_secs(30);

    /// Creates the settings of the task for a project whose webhooks `bondify` receives.
    pub fn new(developer: &Developer, bondify: &Bondify, project_id: impl Into<String>) -> Self {
        Self {
            developer: developer.clone(),
            bondify: bondify.clone(),
            project_id: project_id.into(),
            window: bondify.tolerance(),
            every: Self::DEFAULT_EVERY,
        }
    }

    /// Sets the maximum age of the events, which is Bondify's
    /// [tolerance](bondify_core::Builder::tolerance) by default.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sets the pause between two runs. At least [`MIN_EVERY`](Self::MIN_EVERY).
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every.max(Self::MIN_EVERY);
        self
    }

    /// Starts the task on the current tokio runtime. A run that fails is logged and repeated. The
    /// returned handle can be dropped or aborted; an aborted run loses no event.
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
            bondify.until_drained(self.run(handler)).await;
        })
    }

    async fn run<H, F, T, E>(self, handler: H)
    where
        H: FnOnce(Event) -> F + Clone,
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Display + Send + 'static,
    {
        let Self { developer, bondify, project_id, window, every } = self;
        loop {
            let run = developer.catch_up(&bondify, &project_id, window, handler.clone());
            let pause = match run.await {
                Ok(CaughtUp { handled, known, failed, too_old }) => {
                    tracing::debug!(handled, known, failed, too_old, "catch-up: caught up");
                    every
                }
                Err(error) => {
                    tracing::warn!(%error, "catch-up: the sessions cannot be listed");
                    pause_after(&error, every)
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

/// The pause after an error: shorter than the interval if a retry may succeed.
fn pause_after(error: &Error, every: Duration) -> Duration {
    if error.is_transient() {
        error.retry_after().unwrap_or(CatchUp::RETRY).clamp(CatchUp::MIN_EVERY, every)
    } else {
        every
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn session(token: &str, status: &str, id: Option<&str>, age: Duration) -> SessionRecord {
        let at = (SystemTime::now() - age).duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let at = at.as_millis() as u64;
        serde_json::from_value(json!({
            "session_token": token, "project_id": "p", "status": status, "telegram_id": id,
            "created_at": at, "confirmed_at": id.map(|_| at),
        }))
        .unwrap()
    }

    #[test]
    fn the_oldest_event_is_first_and_sessions_that_are_not_over_are_none() {
        let sessions = [
            session("new", "confirmed", Some("1"), HOUR),
            session("cancelled", "cancelled", None, 2 * HOUR),
            session("used", "used", Some("1"), 3 * HOUR),
            session("pending", "pending", None, HOUR),
            session("expired", "expired", None, HOUR),
        ];
        let (events, counted) = missed(&sessions, 24 * HOUR, 24 * HOUR);
        let tokens: Vec<_> = events.iter().filter_map(Event::session_token).collect();
        assert_eq!(tokens, ["used", "cancelled", "new"]);
        assert_eq!(counted, CaughtUp::default());
    }

    #[test]
    fn the_window_reaches_no_further_than_the_tolerance() {
        let at = |hours| session("s", "confirmed", Some("1"), hours * HOUR);
        let sessions = [at(1), at(5), at(30)];
        let counted = |window, tolerance| {
            let (events, CaughtUp { too_old, .. }) =
                missed(&sessions, window * HOUR, tolerance * HOUR);
            (events.len(), too_old)
        };
        assert_eq!(counted(2, 24), (1, 0));
        assert_eq!(counted(24, 24), (2, 0));
        assert_eq!(counted(48, 24), (2, 1));
        assert_eq!(counted(48, 4), (1, 2));
        assert_eq!(counted(0, 24), (0, 0));
    }

    #[test]
    fn a_login_without_a_user_counts_as_failed() {
        let sessions = [
            session("s", "confirmed", None, HOUR),
            session("t", "used", None, HOUR),
            session("old", "used", None, 25 * HOUR),
        ];
        let (events, counted) = missed(&sessions, 24 * HOUR, 24 * HOUR);
        assert_eq!((events.len(), counted.failed), (0, 2));
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
