use std::{fmt, time::SystemTime};

use bondify_core::{Confirmed, Event, TelegramId, TelegramUser};
use serde::Deserialize;

use crate::{
    Error, SessionStatus,
    login::{UserFields, cancelled},
    wire::{Text, Time, any_id, any_time},
};

/// A session as [`Developer::sessions`](crate::Developer::sessions) lists it.
///
/// `Debug` shows the project and the status, nothing personal.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RecordResponse")]
#[non_exhaustive]
pub struct SessionRecord {
    /// The session's token.
    pub session_token: String,
    /// The id of the session's project.
    pub project_id: String,
    /// The name of the session's project.
    pub project_name: String,
    /// The session's status, with the login of a confirmed session.
    pub status: SessionStatus<RecordedLogin>,
    /// The time at which the session was generated.
    pub created_at: SystemTime,
}

impl SessionRecord {
    /// The user, if the session was confirmed and the API sends the user's id.
    #[must_use]
    pub fn user(&self) -> Option<&TelegramUser> {
        self.status.login()?.user()
    }

    /// The login or the cancellation as an event, with the same key as its webhook. `None` while
    /// the session is not over, if it expired, and if the API does not send the user's id.
    ///
    /// The event has no signature: it is trusted because Bondify's API sent it over TLS. Compared with a
    /// webhook:
    ///
    /// - A session that was used is a confirmed login.
    /// - The user has no phone number: the list does not contain it.
    /// - A cancellation without `cancelled_at`, and a login without `confirmed_at`, have the time at
    ///   which the session was created.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        match &self.status {
            SessionStatus::Cancelled { cancelled_at } => {
                cancelled(&self.session_token, cancelled_at.unwrap_or(self.created_at)).ok()
            }
            status => Some(Event::Confirmed(status.login()?.login.clone()?)),
        }
    }
}

/// The login of a confirmed session in a list: what the API sends of it, without a proof.
///
/// `Debug` shows nothing personal.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordedLogin {
    login: Option<Confirmed>,
    confirmed_at: Option<SystemTime>,
}

impl RecordedLogin {
    /// The user, if the API sends the user's id.
    #[must_use]
    pub fn user(&self) -> Option<&TelegramUser> {
        self.login.as_ref().map(Confirmed::user)
    }

    /// The time at which the user tapped Confirm, if the API sends it.
    #[must_use]
    pub fn confirmed_at(&self) -> Option<SystemTime> {
        self.confirmed_at
    }
}

impl fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRecord")
            .field("project_id", &self.project_id)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RecordedLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedLogin").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct RecordResponse {
    session_token: String,
    project_id: String,
    project_name: Option<Text>,
    status: String,
    #[serde(default, deserialize_with = "any_id")]
    telegram_id: Option<TelegramId>,
    telegram_name: Option<Text>,
    telegram_username: Option<Text>,
    created_at: Time,
    confirmed_at: Option<Time>,
    #[serde(default, deserialize_with = "any_time")]
    cancelled_at: Option<Time>,
}

impl TryFrom<RecordResponse> for SessionRecord {
    type Error = Error;

    fn try_from(answer: RecordResponse) -> Result<Self, Error> {
        let created_at = answer.created_at.0;
        let confirmed_at = answer.confirmed_at.map(|time| time.0);
        let user = UserFields {
            telegram_id: answer.telegram_id,
            telegram_name: answer.telegram_name.or_else(|| Some(Text::default())),
            telegram_username: answer.telegram_username,
            telegram_phone: None,
        };
        let login = RecordedLogin {
            login: user.confirmed(&answer.session_token, confirmed_at.unwrap_or(created_at)).ok(),
            confirmed_at,
        };
        Ok(Self {
            status: SessionStatus::read(answer.status, answer.cancelled_at, || Ok(login))?,
            session_token: answer.session_token,
            project_id: answer.project_id,
            project_name: answer.project_name.map(|name| name.0).unwrap_or_default(),
            created_at,
        })
    }
}
