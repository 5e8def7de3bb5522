use std::{fmt, time::SystemTime};

use bondify_core::TelegramId;
use serde::Deserialize;

use crate::{
    Error, SessionStatus,
    wire::{Text, Time, any_time, non_empty},
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

/// The login of a confirmed session in a list: each field that the API sends, without a proof.
///
/// `Debug` shows nothing personal.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedLogin {
    /// The user's Telegram id.
    pub telegram_id: Option<TelegramId>,
    /// The user's display name.
    pub telegram_name: Option<String>,
    /// The user's username without `@`.
    pub telegram_username: Option<String>,
    /// The time at which the user tapped Confirm.
    pub confirmed_at: Option<SystemTime>,
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
    telegram_id: Option<String>,
    telegram_name: Option<Text>,
    telegram_username: Option<String>,
    created_at: Time,
    confirmed_at: Option<Time>,
    #[serde(default, deserialize_with = "any_time")]
    cancelled_at: Option<Time>,
}

impl TryFrom<RecordResponse> for SessionRecord {
    type Error = Error;

    fn try_from(answer: RecordResponse) -> Result<Self, Error> {
        let login = RecordedLogin {
            telegram_id: non_empty(answer.telegram_id).map(TelegramId::from),
            telegram_name: answer.telegram_name.map(|name| name.0),
            telegram_username: non_empty(answer.telegram_username),
            confirmed_at: answer.confirmed_at.map(|time| time.0),
        };
        Ok(Self {
            session_token: answer.session_token,
            project_id: answer.project_id,
            project_name: answer.project_name.map(|name| name.0).unwrap_or_default(),
            status: SessionStatus::read(answer.status, answer.cancelled_at, || Ok(login))?,
            created_at: answer.created_at.0,
        })
    }
}
