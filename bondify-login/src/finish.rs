//! The finish of a login, which succeeds once, in the browser that began it.

use std::{fmt, sync::Arc};

use bondify_core::{Event, EventKey, HandleError, Handled};
use bytes::Bytes;
use http::{HeaderValue, Response, header::SET_COOKIE};
use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    Login, SignedIn, State,
    limits::MAX_KEPT_ANSWER_BYTES,
    login::{Settings, Unproven},
    pending::{Pending, finished_key},
};

/// The name of the event under which a finish is claimed. It is not the name of Bondify's event, so
/// that a login can be finished once, whether its webhook was handled or not.
const FINISHED: &str = "bondify-login.finished";

/// A login that is being finished: the app's handler has to answer.
///
/// The login stays claimed while this value exists. Dropping it leaves the login unfinished, so that the
/// browser can try again.
///
/// ```
/// use bondify_login::adapter::Finishing;
/// use bytes::Bytes;
/// use http::{Response, StatusCode, header::LOCATION};
///
/// /// Signs the user in, without a handler of an app: redirects to the page that the login began for.
/// async fn redirect(finishing: Finishing) -> Response<Bytes> {
///     let mut answer = Response::new(Bytes::new());
///     *answer.status_mut() = StatusCode::SEE_OTHER;
///     if let Ok(path) = finishing.signed_in().return_to.parse() {
///         answer.headers_mut().insert(LOCATION, path);
///     }
///     finishing.answer(answer).await
/// }
/// ```
#[must_use = "dropping it leaves the login unfinished"]
pub struct Finishing {
    login: Login,
    session: EventKey,
    /// Of the other tabs, which are signed in by this finish too.
    others: Vec<EventKey>,
    set_cookies: Vec<HeaderValue>,
    signed_in: SignedIn,
    answered: oneshot::Sender<()>,
    claim: JoinHandle<Claim>,
}

type Claim = Result<Handled<()>, HandleError<Unanswered>>;

/// The handler failed, or its request was dropped before the handler was called.
struct Unanswered;

/// The result of a finish that does not call the handler.
pub(crate) enum NotFinishing {
    /// This browser's finish was answered already.
    Answered(Response<Bytes>),
    /// The state to show, and the path to return to.
    State(State, String),
}

impl Login {
    /// Claims the login of this browser that `proof` proves, of those that have begun at one page, the
    /// newest first. Of all calls for the same login, on all instances that share the dedupe store, one
    /// gets it.
    ///
    /// # Errors
    ///
    /// The first finish's answer if this is a repeat. Else the state to show: `Expired` if the login or
    /// its proof has expired, `Start` if the proof is not valid or of another login, `Used` if the login
    /// was finished before, and `Unavailable` if the dedupe store is unavailable.
    pub(crate) async fn finish(
        &self,
        logins: Vec<Pending>,
        proof: &str,
    ) -> Result<Finishing, NotFinishing> {
        let Self(settings) = self;
        let newest = settings.leads_to(&logins);
        let refuse = |error| {
            tracing::debug!(%error, "login not finished: the proof is refused");
            let expired = matches!(error, Unproven::Expired);
            let state = if expired { State::Expired } else { State::Start };
            NotFinishing::State(state, newest.to_owned())
        };
        let proof = settings.proof(proof).map_err(refuse)?;
        let (of_proof, others): (Vec<_>, Vec<_>) =
            logins.iter().partition(|login| login.session_token == proof.session_token());
        let login = *of_proof.first().ok_or_else(|| refuse(Unproven::OtherLogin))?;
        let not = |state| NotFinishing::State(state, login.return_to.clone());
        if login.is_finished {
            return Err(not(State::Used));
        }
        if (settings.clock)() >= login.is_over_at() {
            return Err(not(State::Expired));
        }
        let (started, starting) = oneshot::channel();
        let (answered, answer) = oneshot::channel();
        let claim =
            tokio::spawn(settings.clone().claim(login.session_token.clone(), started, answer));
        if starting.await.is_err() {
            let repeated = settings.answers.get(&login.key());
            return Err(match (claim.await, repeated) {
                (Ok(Ok(Handled::Duplicate)), Some(answer)) => NotFinishing::Answered(answer),
                (Ok(Ok(_)), _) => not(State::Used),
                (Ok(Err(_)) | Err(_), _) => not(State::Unavailable),
            });
        }
        Ok(Finishing {
            login: self.clone(),
            session: login.key(),
            others: others.iter().map(|login| login.key()).collect(),
            set_cookies: settings.cookies_after(login, &others),
            signed_in: SignedIn {
                user: proof.user().clone(),
                return_to: login.return_to.clone(),
                began_at: login.begun_at(),
                user_agent: login.user_agent.clone(),
            },
            answered,
            claim,
        })
    }
}

impl Settings {
    /// Holds the claim of the finish until the handler has answered.
    async fn claim(
        self: Arc<Self>,
        session_token: String,
        started: oneshot::Sender<()>,
        answer: oneshot::Receiver<()>,
    ) -> Claim {
        let finished = json!({"event": FINISHED, "session_token": session_token});
        let finished = Event::from_trusted(finished.to_string());
        let finished = finished.map_err(|_| HandleError::Handler(Unanswered))?;
        let handler = move |_event| async move {
            started.send(()).map_err(|()| Unanswered)?;
            answer.await.map_err(|_dropped| Unanswered)
        };
        self.bondify.handle(finished, handler).await
    }

    /// Removes the cookie of the login, and marks the other tabs' logins as finished.
    fn cookies_after(&self, login: &Pending, others: &[&Pending]) -> Vec<HeaderValue> {
        let others = others.iter().filter_map(|&other| {
            let mut finished = other.clone();
            finished.is_finished = true;
            finished.deeplink.clear();
            finished.user_agent = None;
            self.sealer.seal(&finished, (self.clock)())
        });
        self.sealer.removal(login).into_iter().chain(others).collect()
    }
}

impl Finishing {
    /// The user, for the app's handler.
    #[must_use]
    pub fn signed_in(&self) -> &SignedIn {
        &self.signed_in
    }

    /// Finishes the login with the answer of the app's handler, and returns the response to send. After a
    /// status of 500 or more the login is not finished, and the browser can try again.
    pub async fn answer(self, mut response: Response<Bytes>) -> Response<Bytes> {
        if response.status().is_server_error() {
            return response;
        }
        for set_cookie in self.set_cookies {
            response.headers_mut().append(SET_COOKIE, set_cookie);
        }
        let Login(settings) = &self.login;
        // Before the claim ends, since a repeat waits for it.
        if response.body().len() <= MAX_KEPT_ANSWER_BYTES {
            settings.answers.insert(&self.session, response.clone());
        }
        for session in self.others.iter().chain([&self.session]) {
            settings.finished.insert(&finished_key(session), ());
            settings.waits.wake(session);
            self.login.wake_others(vec![finished_key(session), *session]);
        }
        let _whether_it_still_waits = self.answered.send(());
        if let Ok(Err(error)) = self.claim.await {
            tracing::error!(%error, "a finished login may be finished again");
        }
        response
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request was dropped")
    }
}

impl fmt::Debug for Finishing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finishing").finish_non_exhaustive()
    }
}
