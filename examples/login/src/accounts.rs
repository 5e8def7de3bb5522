use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bondify_axum::Confirmed;

use crate::random_id;

/// Who is signed in, by the cookie [`COOKIE`](Self::COOKIE).
#[derive(Default)]
pub(crate) struct Accounts(Mutex<HashMap<String, User>>);

#[derive(Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) username: Option<String>,
}

impl Accounts {
    pub(crate) const COOKIE: &str = "session";

    pub(crate) fn sign_in(&self, user: User) -> String {
        let session = random_id();
        self.lock().insert(session.clone(), user);
        session
    }

    pub(crate) fn of(&self, session: &str) -> Option<User> {
        self.lock().get(session).cloned()
    }

    pub(crate) fn sign_out(&self, session: &str) {
        self.lock().remove(session);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Confirmed> for User {
    fn from(login: &Confirmed) -> Self {
        Self {
            id: login.user().id().to_string(),
            name: login.user().name().to_owned(),
            username: login.user().username().map(str::to_owned),
        }
    }
}
