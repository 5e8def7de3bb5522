use std::{fmt, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::{Persona, clock::as_unix_ms};

/// A login session. `Debug` shows its status only.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Session {
    /// The token: `sess_…`.
    #[serde(rename = "session_token")]
    pub token: String,
    /// The project that the session belongs to.
    pub project_id: String,
    /// The time of creation.
    #[serde(with = "as_unix_ms")]
    pub created_at: SystemTime,
    /// The expiry time.
    #[serde(with = "as_unix_ms")]
    pub expires_at: SystemTime,
    /// The status at the time of the call.
    #[serde(flatten)]
    pub status: SessionStatus,
}

/// The status of a session.
///
/// ```
/// use bondify_emulator::{Session, SessionStatus};
///
/// fn text(session: &Session) -> String {
///     match &session.status {
///         SessionStatus::Confirmed(by) => format!("confirmed by {}", by.persona.telegram_name),
///         other => other.name().to_owned(),
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SessionStatus {
    /// The user has not decided yet.
    Pending,
    /// The user tapped Confirm.
    Confirmed(Confirmation),
    /// The user tapped Cancel.
    Cancelled {
        /// The time of the tap.
        #[serde(with = "as_unix_ms")]
        cancelled_at: SystemTime,
    },
    /// The user did not decide in time.
    Expired,
    /// The user tapped Confirm, and the proof has been used.
    Used(Confirmation),
}

/// The user who confirmed a session, and the time.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Confirmation {
    /// The user who tapped Confirm.
    #[serde(flatten)]
    pub persona: Persona,
    /// The time of the tap.
    #[serde(with = "as_unix_ms")]
    pub confirmed_at: SystemTime,
}

impl Session {
    /// The session as it is at `now`.
    pub(crate) fn as_of(&self, now: SystemTime) -> Self {
        let mut session = self.clone();
        if session.status == SessionStatus::Pending && now >= self.expires_at {
            session.status = SessionStatus::Expired;
        }
        session
    }

    /// The confirmation, if the session was confirmed.
    #[must_use]
    pub fn confirmation(&self) -> Option<&Confirmation> {
        match &self.status {
            SessionStatus::Confirmed(by) | SessionStatus::Used(by) => Some(by),
            _ => None,
        }
    }
}

impl SessionStatus {
    /// The name of the status in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed(_) => "confirmed",
            Self::Cancelled { .. } => "cancelled",
            Self::Expired => "expired",
            Self::Used(_) => "used",
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("status", &self.status).finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmation").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn session(status: SessionStatus) -> Session {
        Session {
            token: "sess_1".into(),
            project_id: "proj_1".into(),
            created_at: SystemTime::UNIX_EPOCH,
            expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(600),
            status,
        }
    }

    #[test]
    fn only_a_pending_session_expires() {
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(600);
        let in_time = late - Duration::from_millis(1);
        let pending = session(SessionStatus::Pending);
        assert_eq!(pending.as_of(in_time).status, SessionStatus::Pending);
        assert_eq!(pending.as_of(late).status, SessionStatus::Expired);
        let confirmation = Confirmation { persona: Persona::default(), confirmed_at: in_time };
        let confirmed = session(SessionStatus::Confirmed(confirmation));
        assert_eq!(confirmed.as_of(late).status, confirmed.status);
    }

    #[test]
    fn json_has_everything_at_one_level() {
        let confirmation =
            Confirmation { persona: Persona::default(), confirmed_at: SystemTime::UNIX_EPOCH };
        let session = session(SessionStatus::Confirmed(confirmation));
        let json = serde_json::to_value(&session).unwrap();
        assert_eq!(json["status"], "confirmed");
        assert_eq!(json["telegram_name"], "Ada Lovelace");
        assert_eq!(json["confirmed_at"], 0);
        let back: Session = serde_json::from_value(json).unwrap();
        assert_eq!(back.status, session.status);
        assert_eq!(format!("{back:?}"), "Session { status: confirmed, .. }");
    }
}
