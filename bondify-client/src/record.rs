use std::{fmt, time::SystemTime};

use bondify_core::TelegramId;
use serde::Deserialize;

use crate::{
    SessionState,
    wire::{Text, Time, filled},
};

/// A session as [`Developer::sessions`](crate::Developer::sessions) lists it.
///
/// `Debug` shows its project and its state, nothing personal.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Answer")]
#[non_exhaustive]
pub struct SessionRecord {
    /// The session's token.
    pub session_token: String,
    /// The id of its project.
    pub project_id: String,
    /// The name of its project.
    pub project_name: String,
    /// How far it has come.
    pub status: SessionState,
    /// The user's Telegram id, once confirmed.
    pub telegram_id: Option<TelegramId>,
    /// The user's display name, once confirmed.
    pub telegram_name: Option<String>,
    /// The user's username without `@`, once confirmed and if there is one.
    pub telegram_username: Option<String>,
    /// When it was generated.
    pub created_at: SystemTime,
    /// When it was confirmed.
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

#[derive(Deserialize)]
struct Answer {
    session_token: String,
    project_id: String,
    project_name: Option<Text>,
    status: SessionState,
    telegram_id: Option<String>,
    telegram_name: Option<Text>,
    telegram_username: Option<String>,
    created_at: Time,
    confirmed_at: Option<Time>,
}

impl From<Answer> for SessionRecord {
    fn from(answer: Answer) -> Self {
        Self {
            session_token: answer.session_token,
            project_id: answer.project_id,
            project_name: answer.project_name.map(|name| name.0).unwrap_or_default(),
            status: answer.status,
            telegram_id: filled(answer.telegram_id).map(TelegramId::from),
            telegram_name: answer.telegram_name.map(|name| name.0),
            telegram_username: filled(answer.telegram_username),
            created_at: answer.created_at.0,
            confirmed_at: answer.confirmed_at.map(|time| time.0),
        }
    }
}
