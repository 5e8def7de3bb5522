use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bondify_client::Session;
use tokio::{sync::watch, time::timeout};

use crate::{accounts::User, random_id};

/// The logins that were begun here and not finished.
///
/// Each belongs to the browser that began it, by the cookie [`COOKIE`](Self::COOKIE), and
/// signs in that one alone. So whoever confirms a link that they did not ask for signs in the
/// one who did: the bot asks them, and nothing else can.
#[derive(Default)]
pub(crate) struct Logins(Mutex<HashMap<String, Login>>);

/// A login on its way.
#[derive(Clone)]
pub(crate) struct Login {
    session_token: String,
    pub(crate) deeplink: String,
    expires_at: SystemTime,
    outcome: watch::Sender<Option<Outcome>>,
}

/// How a login ended.
#[derive(Clone)]
pub(crate) enum Outcome {
    Confirmed(User),
    Cancelled,
    Expired,
}

impl Logins {
    pub(crate) const COOKIE: &str = "login";

    /// Remembers a login, and returns what its browser is known by.
    pub(crate) fn begin(&self, session: &Session) -> String {
        let login = Login {
            session_token: session.session_token().to_owned(),
            deeplink: session.deeplink().to_owned(),
            expires_at: session
                .expires_at()
                .unwrap_or_else(|| SystemTime::now() + Session::DEFAULT_LIFETIME),
            outcome: watch::Sender::default(),
        };
        let browser = random_id();
        let mut logins = self.lock();
        // Whoever began these went away.
        logins.retain(|_, login| login.time_left() > Duration::ZERO);
        logins.insert(browser.clone(), login);
        browser
    }

    pub(crate) fn of(&self, browser: &str) -> Option<Login> {
        self.lock().get(browser).cloned()
    }

    /// Says how a login ended. One that was begun elsewhere, or too long ago, is not ours.
    pub(crate) fn decide(&self, session_token: &str, outcome: Outcome) {
        let logins = self.lock();
        let login = logins.values().find(|login| login.session_token == session_token);
        if let Some(login) = login {
            login.outcome.send_replace(Some(outcome));
        }
    }

    /// Forgets a login that is finished.
    pub(crate) fn end(&self, browser: &str) {
        self.lock().remove(browser);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Login>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Login {
    /// Waits until it ends.
    pub(crate) async fn outcome(self) -> Outcome {
        let mut outcome = self.outcome.subscribe();
        let decided = timeout(self.time_left(), outcome.wait_for(Option::is_some)).await;
        drop(decided);
        self.outcome_so_far().unwrap_or(Outcome::Expired)
    }

    /// How it ended, if it has.
    pub(crate) fn outcome_so_far(&self) -> Option<Outcome> {
        let decided = self.outcome.borrow().clone();
        decided.or_else(|| self.time_left().is_zero().then_some(Outcome::Expired))
    }

    fn time_left(&self) -> Duration {
        self.expires_at.duration_since(SystemTime::now()).unwrap_or_default()
    }
}
