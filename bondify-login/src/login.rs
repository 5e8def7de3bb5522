use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use bondify_client::{Session, SessionStatus, Sessions};
use bondify_core::{Bondify, Event, EventKey, Proof, ProofError, ProofVerifier, Verifier, Wakeups};
use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Shared, ready},
    stream::{self, SelectAll},
};
use http::Response;
use tokio::{sync::Notify, time::sleep};

use crate::{
    State,
    page::Design,
    pending::{Pending, Sealer, finished_key, session_key},
    recent::Recent,
    room::Waits,
};

/// A sign-in with Telegram. It begins logins, shows their state, and finishes each once, in the
/// browser that began it.
///
/// Clones share everything. The state of a login is in the browser's cookie, not on the server.
///
#[doc = include_str!("docs/login.md")]
#[derive(Clone)]
pub struct Login(pub(crate) Arc<Settings>);

pub(crate) struct Settings {
    pub(crate) sessions: Sessions,
    /// The same, for waiting: slower if webhooks report decisions.
    pub(crate) slow_polls: Sessions,
    pub(crate) bondify: Bondify,
    pub(crate) proofs: ProofVerifier,
    pub(crate) sealer: Sealer,
    pub(crate) origin: String,
    /// The default path after a login.
    pub(crate) return_to: String,
    pub(crate) design: Design,
    pub(crate) waits: Waits,
    pub(crate) clock: Clock,
    pub(crate) wakeups: Option<Arc<dyn Wakeups>>,
    /// Set once a task listens to the wake-ups.
    pub(crate) listening: OnceLock<()>,
    /// The last answer of the API for each session.
    pub(crate) looks: Recent<Look>,
    /// The keys of finished sessions, of this process and of those that wake it.
    pub(crate) finished: Recent<()>,
    /// The answers of the handler, for browsers that repeat a finish.
    pub(crate) answers: Recent<Response<Bytes>>,
    /// Says whether a warning about a form of another origin was logged a short time ago.
    pub(crate) forms_of_others: Recent<()>,
}

pub(crate) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// One request for the state of a session, shared by all who ask at the time.
pub(crate) type Look = Shared<BoxFuture<'static, State>>;

impl Login {
    /// Makes the pages that wait for the event's login poll Bondify at once: the pages of this process, and
    /// with [`wakeups`](crate::LoginBuilder::wakeups) those of other instances. Call it in the handler of the
    /// webhook, so that the browser does not have to wait for the next poll, and switch on
    /// [`webhooks`](crate::LoginBuilder::webhooks).
    ///
    /// ```
    /// use bondify_core::Event;
    /// use bondify_login::Login;
    ///
    /// async fn on_event(login: &Login, event: Event) {
    ///     login.notify(&event);
    ///     // Then handle the event.
    /// }
    /// ```
    pub fn notify(&self, event: &Event) {
        let Some(session_token) = event.session_token() else { return };
        let session = session_key(session_token);
        self.0.woken(&session);
        self.wake_others(vec![session]);
    }

    /// Wakes the other instances.
    pub(crate) fn wake_others(&self, keys: Vec<EventKey>) {
        let Some(wakeups) = self.0.wakeups.clone() else { return };
        tokio::spawn(async move {
            for key in keys {
                if let Err(error) = wakeups.wake(&key).await {
                    let cause = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error = cause,
                        "a wake-up is lost: other instances find the login by polling"
                    );
                }
            }
        });
    }

    /// Ends all waiting connections and refuses new ones. Call it when the shutdown begins: a
    /// server that waits for its connections would otherwise wait for logins.
    ///
    /// ```no_run
    /// use bondify_core::Shutdown;
    /// use bondify_login::Login;
    ///
    /// async fn close_at_shutdown(login: Login, shutdown: Shutdown) {
    ///     shutdown.requested().await;
    ///     login.close(); // meanwhile, the server ends its other connections
    /// }
    /// ```
    pub fn close(&self) {
        self.0.waits.close();
    }

    /// Begins to listen to the wake-ups of other instances, once.
    pub(crate) fn listen(&self) {
        let Self(settings) = self;
        let Some(wakeups) = &settings.wakeups else { return };
        settings.listening.get_or_init(|| {
            let (mut woken, mut closed) = (wakeups.clone().listen(), settings.waits.closed());
            let settings = Arc::downgrade(settings);
            tokio::spawn(async move {
                loop {
                    let session = tokio::select! {
                        session = woken.next() => session,
                        _closed_or_dropped = closed.changed() => None,
                    };
                    let (Some(session), Some(settings)) = (session, settings.upgrade()) else {
                        return;
                    };
                    // The key of a session that was decided is in there too, and nobody asks for it.
                    settings.finished.insert(&session, ());
                    settings.woken(&session);
                }
            });
        });
    }

    /// The state of the login. Everybody who asks within a second shares one request to the API.
    pub(crate) fn state(&self, login: &Pending) -> Look {
        self.listen(); // also to finishes
        let Self(settings) = self;
        if let Some(state) = settings.known_state(login) {
            return ready(state).boxed().shared();
        }
        settings.looks.get_or_insert_with(&login.key(), || {
            let (settings, login) = (settings.clone(), login.clone());
            async move { settings.look(&login).await }.boxed().shared()
        })
    }

    /// Polls until the login is decided. Once woken it polls at once, and then at the client's
    /// interval, as a webhook may be faster than the API.
    pub(crate) async fn decision(&self, login: &Pending, woken: &Notify) -> State {
        let Self(settings) = self;
        let end = login.is_over_at();
        let session = Session::resume(&login.session_token, &login.deeplink, end);
        let polls = |sessions: &Sessions| {
            sessions.statuses(&session).map(|status| settings.state_of_answer(login, status))
        };
        let pause = settings.slow_polls.poll_interval();
        let slow_polls = stream::once(self.state(login))
            .chain(stream::once(sleep(pause)).flat_map(|()| polls(&settings.slow_polls)));
        let mut all = SelectAll::from_iter([slow_polls.boxed()]);
        loop {
            let state = tokio::select! {
                state = all.next() => state.unwrap_or(State::Used),
                () = woken.notified() => {
                    if let Some(state) = settings.known_state(login) {
                        return state;
                    }
                    if all.len() == 1 {
                        all.push(polls(&settings.sessions).boxed());
                    }
                    continue;
                }
            };
            match state {
                State::Waiting { .. } => {}
                // The other poll may be in flight, with the answer that this one lacks.
                State::Used if all.len() > 1 => {}
                state => {
                    let look = ready(state.clone()).boxed().shared();
                    settings.looks.insert(&login.key(), look);
                    return state;
                }
            }
        }
    }
}

impl Settings {
    /// Looks at once for the decision of a session, if this process waits for it.
    fn woken(&self, session: &EventKey) {
        self.looks.remove(session);
        self.waits.wake(session);
    }

    /// The state that is known without a request to the API.
    fn known_state(&self, login: &Pending) -> Option<State> {
        if login.is_finished || self.finished.get(&finished_key(&login.key())).is_some() {
            Some(State::Used)
        } else if (self.clock)() >= login.is_over_at() {
            Some(State::Expired)
        } else {
            None
        }
    }

    async fn look(&self, login: &Pending) -> State {
        match self.sessions.status(&login.session_token).await {
            Err(error) if error.is_transient() => login.waiting((self.clock)()),
            answer => self.state_of_answer(login, answer),
        }
    }

    fn state_of_answer(
        &self,
        login: &Pending,
        answer: Result<SessionStatus, bondify_client::Error>,
    ) -> State {
        match answer {
            Ok(SessionStatus::Pending) => login.waiting((self.clock)()),
            Ok(SessionStatus::Confirmed(confirmed) | SessionStatus::Used(Some(confirmed))) => {
                match self.verify(login, confirmed.proof()) {
                    Ok(proof) => State::Confirmed {
                        user: proof.user().clone(),
                        proof: confirmed.proof().to_owned(),
                    },
                    Err(Unproven::Expired) => State::Expired,
                    Err(error) => {
                        tracing::error!(%error, "the proof of a confirmed login is refused");
                        State::Unavailable
                    }
                }
            }
            Ok(SessionStatus::Cancelled { .. }) => State::Cancelled,
            Ok(SessionStatus::Expired) => State::Expired,
            Ok(_) => State::Used,
            Err(error) => unavailable(&error),
        }
    }

    /// Verifies that `proof` is of this login.
    fn verify(&self, login: &Pending, proof: &str) -> Result<Proof, Unproven> {
        let proof = self.proof(proof)?;
        let is_of_this = proof.session_token() == login.session_token;
        if is_of_this { Ok(proof) } else { Err(Unproven::OtherLogin) }
    }

    pub(crate) fn proof(&self, proof: &str) -> Result<Proof, Unproven> {
        self.proofs.verify(proof).map_err(|error| match error {
            ProofError::Expired => Unproven::Expired,
            ProofError::NotYetValid => Unproven::Clock,
            error => Unproven::Refused(error),
        })
    }

    /// Whether proofs will be accepted by this server's clock.
    pub(crate) fn checks_clock(&self, session: &Session, now: SystemTime) -> bool {
        let Some(date) = session.date() else { return true };
        let (ahead, behind) = (now.duration_since(date), date.duration_since(now));
        let difference = ahead.or(behind).unwrap_or_default();
        if difference <= Verifier::SKEW {
            return true;
        }
        tracing::error!(
            seconds = difference.as_secs(),
            direction = if now > date { "ahead" } else { "behind" },
            "no login can begin: the clock of this server differs from that of Bondify's API by more than \
             5 minutes; set it, for example by NTP"
        );
        false
    }
}

/// The reason that a proof does not prove a login.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproven {
    #[error("the proof has expired")]
    Expired,
    #[error(
        "the proof is not valid yet: the clock of this server is behind that of Bondify's API by more than \
         5 minutes"
    )]
    Clock,
    #[error("{0}")]
    Refused(ProofError),
    #[error("the proof is of another login")]
    OtherLogin,
}

pub(crate) fn unavailable(error: &bondify_client::Error) -> State {
    let cause = error as &dyn std::error::Error;
    if error.is_transient() {
        tracing::error!(error = cause, "Bondify's API could not be reached for a login");
    } else {
        tracing::error!(error = cause, "Bondify's API refused a login");
    }
    State::Unavailable
}

impl Pending {
    /// Bondify decides when the login expires: `now` may be the time of another instance's clock.
    pub(crate) fn waiting(&self, now: SystemTime) -> State {
        let expires_in = self.expires_at().duration_since(now).unwrap_or(Duration::ZERO);
        State::Waiting { deeplink: self.deeplink.clone(), expires_in }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { origin, waits, clock, .. } = &*self.0;
        f.debug_struct("Login")
            .field("origin", origin)
            .field("waiting", &waits.len(clock()))
            .finish_non_exhaustive()
    }
}
