use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bondify_core::TelegramId;
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    Error,
    wire::{Text, Time, any_time, filled},
};

/// A login that has begun: show the user its [`deeplink`](Self::deeplink), as a link or a QR
/// code, and [`wait`](crate::Sessions::wait).
///
/// `Debug` shows neither the token nor the link, which contains it.
#[derive(Clone)]
pub struct Session {
    session_token: String,
    deeplink: String,
    expires_at: Option<SystemTime>,
    give_up_at: Instant,
}

impl Session {
    /// For how long a session can be confirmed if the API does not say: 10 minutes.
    pub const LIFETIME: Duration = Duration::from_secs(10 * 60);

    /// Past which no session is waited for, whatever the API says.
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

    /// What the session is asked about by. It also comes with the webhook and in the proof.
    #[must_use]
    pub fn session_token(&self) -> &str {
        &self.session_token
    }

    /// The link that opens the project's bot in Telegram, e.g.
    /// `https://t.me/<bot>?start=sess_…`.
    #[must_use]
    pub fn deeplink(&self) -> &str {
        &self.deeplink
    }

    /// When the session expires, if the API says so.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// For how much longer it is worth asking.
    pub(crate) fn time_left(&self) -> Duration {
        self.give_up_at.saturating_duration_since(Instant::now())
    }

    /// For how long a session that was generated just now will be there. If it has expired
    /// already, it is this machine's clock that is wrong.
    fn lifetime(expires_at: Option<SystemTime>) -> Duration {
        let left = expires_at.and_then(|end| end.duration_since(SystemTime::now()).ok());
        left.filter(|left| !left.is_zero()).unwrap_or(Self::LIFETIME).min(Self::LONGEST)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// The answer of `generate/public`.
#[derive(Deserialize)]
pub(crate) struct Generated {
    session_token: Option<String>,
    deeplink: Option<String>,
    expires_at: Option<Time>,
}

impl TryFrom<Generated> for Session {
    type Error = Error;

    fn try_from(answer: Generated) -> Result<Self, Error> {
        let expires_at = answer.expires_at.map(|time| time.0);
        Ok(Self {
            session_token: required("session_token", answer.session_token)?,
            deeplink: required("deeplink", answer.deeplink)?,
            expires_at,
            give_up_at: Instant::now() + Self::lifetime(expires_at),
        })
    }
}

/// How far a login session has come.
///
/// `Debug` shows nothing personal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The user has not decided yet.
    Pending,
    /// The user tapped Confirm. The proof is still to be verified.
    Confirmed(ConfirmedSession),
    /// The user tapped Cancel.
    Cancelled {
        /// When, if the API says so.
        cancelled_at: Option<SystemTime>,
    },
    /// The user did neither for 10 minutes.
    Expired,
    /// The user confirmed, and the login was completed before: by another tab, say. With what
    /// was confirmed, if the API repeats all of it.
    Used(Option<ConfirmedSession>),
}

impl Status {
    /// Whether the session stays as it is: everything but [`Pending`](Self::Pending).
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::Pending)
    }
}

/// Who confirmed a login, as the API says, and the proof of it.
///
/// Only the proof is signed: verify it, and go by what it says, wherever this was not asked
/// by your own server. `Debug` shows nothing personal.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfirmedSession {
    telegram_id: TelegramId,
    telegram_name: String,
    telegram_username: Option<String>,
    telegram_phone: Option<String>,
    proof: String,
    confirmed_at: Option<SystemTime>,
}

impl ConfirmedSession {
    /// The user's Telegram id, the stable key of an account.
    #[must_use]
    pub fn telegram_id(&self) -> &TelegramId {
        &self.telegram_id
    }

    /// The display name, any Unicode. Users change it at will.
    #[must_use]
    pub fn telegram_name(&self) -> &str {
        &self.telegram_name
    }

    /// The username without `@`, if the user has one.
    #[must_use]
    pub fn telegram_username(&self) -> Option<&str> {
        self.telegram_username.as_deref()
    }

    /// The phone number, if the project's plan asks for it and the user shared it.
    #[must_use]
    pub fn telegram_phone(&self) -> Option<&str> {
        self.telegram_phone.as_deref()
    }

    /// The proof, a JWT that the project's secret signs and that holds for 5 minutes.
    #[must_use]
    pub fn proof(&self) -> &str {
        &self.proof
    }

    /// When the user tapped Confirm, if the API says so.
    #[must_use]
    pub fn confirmed_at(&self) -> Option<SystemTime> {
        self.confirmed_at
    }
}

impl fmt::Debug for ConfirmedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfirmedSession").finish_non_exhaustive()
    }
}

/// The answer of `verify/public`: the fields of every status, flat.
#[derive(Deserialize)]
pub(crate) struct Verified {
    status: Option<SessionState>,
    telegram_id: Option<String>,
    telegram_name: Option<Text>,
    telegram_username: Option<Text>,
    telegram_phone: Option<String>,
    proof: Option<String>,
    #[serde(default, deserialize_with = "any_time")]
    confirmed_at: Option<Time>,
    #[serde(default, deserialize_with = "any_time")]
    cancelled_at: Option<Time>,
}

impl TryFrom<Verified> for Status {
    type Error = Error;

    fn try_from(answer: Verified) -> Result<Self, Error> {
        Ok(match answer.status.as_ref().ok_or(Error::field("status"))? {
            SessionState::Pending => Self::Pending,
            SessionState::Confirmed => Self::Confirmed(answer.try_into()?),
            SessionState::Cancelled => {
                Self::Cancelled { cancelled_at: answer.cancelled_at.map(|time| time.0) }
            }
            SessionState::Expired => Self::Expired,
            SessionState::Used => Self::Used(answer.try_into().ok()),
            SessionState::Other(name) => return Err(Error::unknown_status(name)),
        })
    }
}

impl TryFrom<Verified> for ConfirmedSession {
    type Error = Error;

    fn try_from(answer: Verified) -> Result<Self, Error> {
        let name = answer.telegram_name.ok_or(Error::field("telegram_name"))?;
        Ok(Self {
            telegram_id: required("telegram_id", answer.telegram_id)?.into(),
            telegram_name: name.0,
            telegram_username: filled(answer.telegram_username.map(|text| text.0)),
            telegram_phone: filled(answer.telegram_phone),
            proof: required("proof", answer.proof)?,
            confirmed_at: answer.confirmed_at.map(|time| time.0),
        })
    }
}

/// A text that the API has to send, and not empty.
pub(crate) fn required(name: &'static str, text: Option<String>) -> Result<String, Error> {
    filled(text).ok_or(Error::field(name))
}

/// The name of a [`Status`], as a list of sessions has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SessionState {
    /// The user has not decided yet.
    Pending,
    /// The user tapped Confirm.
    Confirmed,
    /// The user tapped Cancel.
    Cancelled,
    /// The user did neither for 10 minutes.
    Expired,
    /// The user confirmed, and the login is complete.
    Used,
    /// A status that this version does not know.
    #[serde(untagged)]
    Other(String),
}

impl SessionState {
    /// The name as it is on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Used => "used",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};
    use serde_json::{Value, json};

    use super::*;

    fn status(json: &str) -> Result<Status, Error> {
        let answer: Verified =
            serde_json::from_str(json).map_err(|error| Error::malformed(&error))?;
        answer.try_into()
    }

    fn session(json: &str) -> Result<Session, Error> {
        let answer: Generated =
            serde_json::from_str(json).map_err(|error| Error::malformed(&error))?;
        answer.try_into()
    }

    fn millis(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn a_session_expires_when_the_api_says_or_after_ten_minutes() {
        let known = r#"{"session_token":"s","deeplink":"d","expires_at":1700000000123}"#;
        let known = session(known).unwrap();
        assert_eq!(known.expires_at(), Some(millis(1_700_000_000_123)));
        let wrong_clock = known.time_left();
        assert!(wrong_clock > Duration::from_secs(9 * 60), "{wrong_clock:?}");

        let unknown = session(r#"{"session_token":"s","deeplink":"d"}"#).unwrap();
        assert_eq!(unknown.expires_at(), None);
        let nine_minutes = Duration::from_secs(9 * 60);
        assert!((nine_minutes..=Session::LIFETIME).contains(&unknown.time_left()));
    }

    #[test]
    fn a_session_without_token_or_link_is_refused_by_name() {
        for (json, field) in [
            (r#"{"deeplink":"d"}"#, "session_token"),
            (r#"{"session_token":"","deeplink":"d"}"#, "session_token"),
            (r#"{"session_token":"s"}"#, "deeplink"),
            (r#"{"session_token":"s","deeplink":null}"#, "deeplink"),
        ] {
            assert!(session(json).unwrap_err().to_string().contains(field), "{json}");
        }
    }

    const CONFIRMED: &str = r#"{"status":"confirmed","telegram_id":"7123456789",
        "telegram_name":"Ada \ud83d","telegram_username":"hush_ada","telegram_phone":"+49hush",
        "proof":"hush.hush.hush","confirmed_at":1700000000123,"new":[{"field":1e400}]}"#;

    #[test]
    fn a_confirmed_session_with_everything() {
        let Ok(Status::Confirmed(login)) = status(CONFIRMED) else { panic!() };
        assert_eq!(login.telegram_id().to_i64(), Some(7_123_456_789));
        assert!(login.telegram_name().starts_with("Ada \u{fffd}"));
        assert_eq!(login.telegram_username(), Some("hush_ada"));
        assert_eq!(login.telegram_phone(), Some("+49hush"));
        assert_eq!(login.proof(), "hush.hush.hush");
        assert_eq!(login.confirmed_at(), Some(millis(1_700_000_000_123)));
    }

    #[test]
    fn a_confirmed_session_with_the_least() {
        let least = r#"{"status":"confirmed","telegram_id":"1","telegram_name":"",
            "telegram_username":null,"proof":"p"}"#;
        let Ok(Status::Confirmed(login)) = status(least) else { panic!() };
        assert_eq!(login.telegram_name(), "");
        assert_eq!(login.telegram_username(), None);
        assert_eq!(login.telegram_phone(), None);
        assert_eq!(login.confirmed_at(), None);
    }

    #[test]
    fn what_a_confirmed_session_must_have_is_asked_for_by_name() {
        let whole: Value =
            serde_json::from_str(&CONFIRMED.replace("\\ud83d", "").replace("1e400", "1")).unwrap();
        for field in ["telegram_id", "telegram_name", "proof"] {
            let mut lacking = whole.clone();
            lacking.as_object_mut().unwrap().remove(field);
            let error = status(&lacking.to_string()).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");

            let mut used = lacking.clone();
            used["status"] = "used".into();
            assert_eq!(status(&used.to_string()).unwrap(), Status::Used(None));
        }
    }

    #[test]
    fn every_other_status() {
        assert_eq!(status(r#"{"status":"pending"}"#).unwrap(), Status::Pending);
        assert_eq!(status(r#"{"status":"expired"}"#).unwrap(), Status::Expired);
        assert_eq!(status(r#"{"status":"used"}"#).unwrap(), Status::Used(None));
        let Ok(Status::Confirmed(login)) = status(CONFIRMED) else { panic!() };
        let used = status(&CONFIRMED.replace(r#""confirmed","#, r#""used","#)).unwrap();
        assert_eq!(used, Status::Used(Some(login)));
        for (cancelled_at, expected) in [
            ("1700000000123", Some(millis(1_700_000_000_123))),
            (r#""2023-11-14T22:13:20.123Z""#, Some(millis(1_700_000_000_123))),
            ("null", None),
        ] {
            let json = format!(r#"{{"status":"cancelled","cancelled_at":{cancelled_at}}}"#);
            assert_eq!(status(&json).unwrap(), Status::Cancelled { cancelled_at: expected });
        }
    }

    #[test]
    fn an_unknown_status_is_an_error_that_names_it() {
        let error = status(r#"{"status":"paused"}"#).unwrap_err();
        assert!(error.to_string().contains("paused"), "{error}");
        assert!(!error.is_transient());
        for json in ["{}", "[]", "null", r#"{"status":null}"#, r#"{"status":7}"#, "pending"] {
            assert!(status(json).is_err(), "{json}");
        }
    }

    #[test]
    fn nothing_personal_is_shown() {
        let link = r#"{"session_token":"sess_hush","deeplink":"https://t.me/b?start=sess_hush"}"#;
        let wrong = CONFIRMED.replace(r#""7123456789""#, r#"{"hush":"7123456789"}"#);
        let wrong = status(&wrong).unwrap_err();
        let shown = format!("{:?} {:?} {wrong} {wrong:?}", session(link), status(CONFIRMED));
        for hidden in ["hush", "7123456789", "Ada"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn what_is_confirmed_arrives(
            (id, name, proof) in ("[0-9]{1,19}", ".*", ".+"),
            (username, phone) in (option::of(".+"), option::of(".+")),
            confirmed_at in option::of(0..=9_007_199_254_740_992_u64),
            used in any::<bool>(),
        ) {
            let answer = json!({
                "status": if used { "used" } else { "confirmed" },
                "telegram_id": id,
                "telegram_name": name,
                "telegram_username": username,
                "telegram_phone": phone,
                "proof": proof,
                "confirmed_at": confirmed_at,
            });
            let login = match status(&answer.to_string()).unwrap() {
                Status::Confirmed(login) if !used => login,
                Status::Used(Some(login)) if used => login,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(login.telegram_id().as_str(), id);
            prop_assert_eq!(login.telegram_name(), name);
            prop_assert_eq!(login.telegram_username(), username.as_deref());
            prop_assert_eq!(login.telegram_phone(), phone.as_deref());
            prop_assert_eq!(login.proof(), proof);
            prop_assert_eq!(login.confirmed_at(), confirmed_at.map(millis));
        }
    }
}
