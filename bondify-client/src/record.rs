use std::{fmt, time::SystemTime};

use bondify_core::{Confirmed, Event, TelegramId, TelegramUser};
use serde::Deserialize;

use crate::{
    Error, SessionStatus,
    login::{UserFields, cancelled},
    wire::{Maybe, Text, Time},
};

/// A session as [`Developer::sessions`](crate::Developer::sessions) lists it.
///
/// `Debug` shows the project and the status, nothing personal.
///
/// ```
/// use bondify_client::SessionRecord;
///
/// fn line(session: &SessionRecord) -> String {
///     let user = session.user().map_or("nobody", |user| user.name());
///     format!("{} {} {user}", session.session_token, session.status.name())
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RecordResponse")]
#[non_exhaustive]
pub struct SessionRecord {
    /// The session's token.
    pub session_token: String,
    /// The id of the session's project.
    pub project_id: String,
    /// The name of the session's project, empty if the API does not send it.
    pub project_name: String,
    /// The session's status, with the login of a confirmed session.
    pub status: SessionStatus<RecordedLogin>,
    /// The time at which the session was generated, if the API sends it.
    pub created_at: Option<SystemTime>,
}

impl SessionRecord {
    /// The user, if the session was confirmed and the API sends the user's id.
    #[must_use]
    pub fn user(&self) -> Option<&TelegramUser> {
        self.status.login()?.user()
    }

    /// The login or the cancellation as an event, with the same key as its webhook. `None` while
    /// the session is not over, if it expired, and if the API does not send the user's id or any time.
    ///
    /// The event has no signature: it is trusted because Bondify's API sent it over TLS. Compared with a
    /// webhook:
    ///
    /// - A session that was used is a confirmed login.
    /// - The user has no phone number: the list does not contain it.
    /// - A cancellation without `cancelled_at`, and a login without `confirmed_at`, have the time at
    ///   which the session was created.
    ///
    /// ```
    /// use bondify_client::{Event, SessionRecord};
    ///
    /// /// The logins and cancellations of a list, by their time.
    /// fn events(sessions: &[SessionRecord]) -> Vec<Event> {
    ///     let mut events: Vec<_> = sessions.iter().filter_map(SessionRecord::event).collect();
    ///     events.sort_by_key(Event::occurred_at);
    ///     events
    /// }
    /// ```
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        match &self.status {
            SessionStatus::Cancelled { cancelled_at } => {
                cancelled(&self.session_token, cancelled_at.or(self.created_at)?).ok()
            }
            status => Some(Event::Confirmed(status.login()?.login.clone()?)),
        }
    }
}

/// The login of a confirmed session in a list: what the API sends of it, without a proof.
///
/// `Debug` shows nothing personal.
///
/// ```
/// use bondify_client::{SessionRecord, SessionStatus};
///
/// fn print(session: &SessionRecord) {
///     if let SessionStatus::Confirmed(login) = &session.status {
///         println!("{:?} at {:?}", login.user().map(|user| user.id()), login.confirmed_at());
///     }
/// }
/// ```
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

/// A session of the list.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct RecordResponse {
    session_token: Maybe<String>,
    project_id: Maybe<String>,
    project_name: Maybe<Text>,
    status: Maybe<String>,
    telegram_id: Maybe<TelegramId>,
    telegram_name: Maybe<Text>,
    telegram_username: Maybe<Text>,
    created_at: Maybe<Time>,
    confirmed_at: Maybe<Time>,
    cancelled_at: Maybe<Time>,
}

impl RecordResponse {
    /// Whether the session may be of this project.
    pub(crate) fn may_be_of(&self, project_id: &str) -> bool {
        self.project_id.0.as_ref().is_none_or(|id| id == project_id)
    }

    /// Whether the session may be a login or a cancellation.
    pub(crate) fn may_be_an_event(&self) -> bool {
        let name = self.status.0.as_deref();
        name.is_none_or(|name| matches!(name, "confirmed" | "used" | "cancelled"))
    }

    /// The time of the user's tap, if the API sends it.
    pub(crate) fn decided_at(&self) -> Option<SystemTime> {
        self.confirmed_at.or(self.cancelled_at).known()
    }

    /// The time of the event: that of the user's tap, or else that of the session's creation.
    pub(crate) fn occurred_at(&self) -> Result<SystemTime, Error> {
        let times = [self.confirmed_at, self.cancelled_at, self.created_at];
        let in_unit = || times.iter().find_map(|time| time.0?.unit());
        let time = times.iter().find_map(|time| time.known());
        time.ok_or_else(|| match in_unit() {
            Some(unit) => Error::unit("created_at", unit),
            None => Error::field("created_at"),
        })
    }

    /// The login or the cancellation as an event. An error names the field that is missing.
    pub(crate) fn into_event(self) -> Result<Event, Error> {
        self.occurred_at()?;
        let record = SessionRecord::try_from(self)?;
        record.event().ok_or_else(|| Error::field("telegram_id"))
    }
}

impl TryFrom<RecordResponse> for SessionRecord {
    type Error = Error;

    fn try_from(answer: RecordResponse) -> Result<Self, Error> {
        let (occurred_at, created_at) = (answer.occurred_at().ok(), answer.created_at.known());
        let session_token = answer.session_token.required("session_token")?;
        let user = UserFields {
            telegram_id: answer.telegram_id.0,
            telegram_name: answer.telegram_name.0.or_else(|| Some(Text::default())),
            telegram_username: answer.telegram_username.0,
            telegram_phone: None,
        };
        let login = occurred_at.and_then(|at| user.confirmed(&session_token, at).ok());
        let login = RecordedLogin { login, confirmed_at: answer.confirmed_at.known() };
        let status = answer.status.required("status")?;
        Ok(Self {
            status: SessionStatus::read(status, answer.cancelled_at.known(), || Ok(login))?,
            session_token,
            project_id: answer.project_id.required("project_id")?,
            project_name: answer.project_name.0.unwrap_or_default().0,
            created_at,
        })
    }
}
