use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bondify_client::{Session, SessionStatus, Sessions};
use bondify_core::{Bondify, Event, Proof, ProofError, ProofVerifier};
use futures_util::{StreamExt, stream::SelectAll};
use http::HeaderValue;
use tokio::sync::Notify;

use crate::{
    LoginBuilder, State,
    builder::Clock,
    limits::FINISH_GRACE,
    page,
    pending::{Pending, Sealer},
    wait::Waits,
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
    /// The same, for waiting: slower where webhooks tell of decisions.
    pub(crate) slow_polls: Sessions,
    pub(crate) bondify: Bondify,
    pub(crate) proofs: ProofVerifier,
    pub(crate) sealer: Sealer,
    pub(crate) origin: String,
    pub(crate) app_name: Option<String>,
    pub(crate) page: page::Render,
    pub(crate) waits: Waits,
    pub(crate) clock: Clock,
}

impl Login {
    /// Returns a builder of the sign-in to the project of `sessions`. `bondify` verifies proofs
    /// and remembers which logins are finished.
    pub fn builder(sessions: Sessions, bondify: &Bondify) -> LoginBuilder {
        LoginBuilder::new(sessions, bondify)
    }

    /// Polls Bondify at once for the event's login, if this process waits for it. Call it in the
    /// handler of the webhook, so that the browser does not have to wait for the next poll, and
    /// switch on [`webhooks`](LoginBuilder::webhooks).
    pub fn notify(&self, event: &Event) {
        if let Some(session_token) = event.session_token() {
            self.0.waits.wake(session_token);
        }
    }

    /// Ends all waiting connections and refuses new ones. Call it when the shutdown begins: a
    /// server that waits for its connections would otherwise wait for logins.
    pub fn close(&self) {
        self.0.waits.close();
    }
}

/// A login that has just begun.
pub(crate) struct Begun {
    pub(crate) state: State,
    pub(crate) set_cookie: HeaderValue,
}

impl Settings {
    /// Begins a login.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the API cannot be reached or refuses the project, and if its link is not usable.
    pub(crate) async fn begin(&self, return_to: &str) -> Result<Begun, State> {
        let session = self.sessions.generate().await.map_err(|error| unavailable(&error))?;
        let now = (self.clock)();
        let login = Pending::begin(&session, return_to.to_owned(), now);
        let set_cookie = self.sealer.seal(&login, now).filter(|_| is_link(&login.deeplink));
        let set_cookie = set_cookie.ok_or_else(|| {
            tracing::error!("no login can begin: the link from Bondify's API is not usable");
            State::Unavailable
        })?;
        Ok(Begun { state: login.waiting(now), set_cookie })
    }

    /// Requests the state once.
    pub(crate) async fn state(&self, login: &Pending) -> State {
        let now = (self.clock)();
        if login.is_over(now) {
            return State::Expired;
        }
        match self.sessions.status(&login.session_token).await {
            Ok(status) => self.state_of(login, status),
            Err(error) if error.is_transient() => login.waiting(now),
            Err(error) => unavailable(&error),
        }
    }

    /// Polls until the login is decided. Once woken it polls at once, and then at the client's
    /// interval, as a webhook may be faster than the API.
    pub(crate) async fn decision(&self, login: &Pending, woken: &Notify) -> State {
        let session = Session::resume(&login.session_token, &login.deeplink, login.expires_at());
        let mut polls = SelectAll::from_iter([self.slow_polls.statuses(&session)]);
        loop {
            let status = tokio::select! {
                status = polls.next() => status.unwrap_or(Ok(SessionStatus::Used(None))),
                () = woken.notified() => {
                    if polls.len() == 1 {
                        polls.push(self.sessions.statuses(&session));
                    }
                    continue;
                }
            };
            match status {
                Ok(SessionStatus::Pending) => {}
                // The other poll may be in flight, with the answer that this one lacks.
                Ok(SessionStatus::Used(None)) if polls.len() > 1 => {}
                Ok(status) => return self.state_of(login, status),
                Err(error) => return unavailable(&error),
            }
        }
    }

    fn state_of(&self, login: &Pending, status: SessionStatus) -> State {
        match status {
            SessionStatus::Pending => login.waiting((self.clock)()),
            SessionStatus::Confirmed(confirmed) | SessionStatus::Used(Some(confirmed)) => {
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
            SessionStatus::Cancelled { .. } => State::Cancelled,
            SessionStatus::Expired => State::Expired,
            _ => State::Used,
        }
    }

    /// Verifies that `proof` is of this login.
    pub(crate) fn verify(&self, login: &Pending, proof: &str) -> Result<Proof, Unproven> {
        let proof = self.proofs.verify(proof).map_err(|error| match error {
            ProofError::Expired => Unproven::Expired,
            error => Unproven::Refused(error),
        })?;
        let is_of_this = proof.session_token() == login.session_token;
        if is_of_this { Ok(proof) } else { Err(Unproven::OtherLogin) }
    }
}

/// The reason that a proof does not prove a login.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproven {
    #[error("the proof has expired")]
    Expired,
    #[error("{0}")]
    Refused(ProofError),
    #[error("the proof is of another login")]
    OtherLogin,
}

/// Whether the link opens Telegram or a page, and cannot run a script.
fn is_link(deeplink: &str) -> bool {
    ["https://", "http://", "tg://"].iter().any(|scheme| deeplink.starts_with(scheme))
}

fn unavailable(error: &bondify_client::Error) -> State {
    tracing::error!(error = error as &dyn std::error::Error, "Bondify's API refused a login");
    State::Unavailable
}

impl Pending {
    /// Whether the login can no longer be finished.
    pub(crate) fn is_over(&self, now: SystemTime) -> bool {
        now >= self.expires_at() + FINISH_GRACE
    }

    pub(crate) fn waiting(&self, now: SystemTime) -> State {
        match self.expires_at().duration_since(now) {
            Ok(left) if left > Duration::ZERO => {
                State::Waiting { deeplink: self.deeplink.clone(), expires_in: left }
            }
            _ => State::Expired,
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { origin, waits, .. } = &*self.0;
        f.debug_struct("Login")
            .field("origin", origin)
            .field("waiting", &waits.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bondify_client::Client;
    use bondify_core::Secret;
    use bondify_testkit::{Answer, ScriptedServer};
    use serde_json::json;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_lost_webhook_is_found_by_a_slow_poll() {
        timeout(Duration::from_secs(10), async {
            let answers = ["pending", "cancelled"];
            let answers = answers.map(|status| Answer::json(200, json!({"status": status})));
            let api = ScriptedServer::start(answers).await;
            let interval = Duration::from_millis(500);
            let client = Client::builder().base_url(api.url()).poll_interval(interval);
            let sessions = client.build().unwrap().sessions("proj_1");
            let bondify = Bondify::builder(Secret::new("whsec_test").unwrap()).build().unwrap();
            let builder = Login::builder(sessions, &bondify).origin("https://shop.example");
            let mut builder = builder.cookie_key([7; 32]).webhooks(true);
            assert_eq!(builder.slowed_to, LoginBuilder::WEBHOOK_POLL_INTERVAL);
            builder.slowed_to = Duration::from_secs(1);
            let Login(settings) = builder.build().unwrap();

            let now = SystemTime::now();
            let session = Session::resume("sess_1", "https://t.me/b", now + FINISH_GRACE);
            let login = Pending::begin(&session, "/".into(), now);
            let decision = settings.decision(&login, &Notify::new()).await;
            assert!(matches!(decision, State::Cancelled), "{decision:?}");
            let [first, second] = &api.requests()[..] else { panic!("not two polls") };
            assert!(second.at - first.at >= Duration::from_secs(1), "as slow as was set");
        })
        .await
        .unwrap();
    }
}
