use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bondify_core::{Confirmed, Event, TelegramId, TelegramUser};
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    Error,
    login::UserFields,
    wire::{Maybe, Text, Time},
};

/// A login that has begun: show the user its [`deeplink`](Self::deeplink), as a link or a QR
/// code, and [`wait`](crate::Sessions::wait).
///
/// `Debug` shows neither the token nor the link, which contains it.
///
/// ```no_run
/// use bondify_client::{Client, Error};
///
/// async fn begin(client: &Client) -> Result<String, Error> {
///     let session = client.sessions("proj_abc123").generate().await?;
///     Ok(format!(r#"<a href="{}">Sign in</a>"#, session.deeplink()))
/// }
/// ```
#[derive(Clone)]
pub struct Session {
    session_token: String,
    deeplink: String,
    expires_at: Option<SystemTime>,
    poll_until: Instant,
    date: Option<SystemTime>,
}

impl Session {
    /// The lifetime of a session whose expiry time the API does not send: 10 minutes.
    pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(10 * 60);

    /// The maximum lifetime: polling ends after it, even if the API sends a later expiry time.
    const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

    /// Returns a session that was generated earlier, in order to wait for it on another instance or after
    /// a restart. The arguments are the values of the generated session.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use bondify_client::Session;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let in_ten_minutes = SystemTime::now() + Duration::from_secs(600);
    /// let session = Session::resume("sess_1", "https://t.me/shop_bot?start=sess_1", in_ten_minutes);
    /// assert_eq!(session.session_token(), "sess_1");
    /// # }
    /// ```
    #[must_use]
    pub fn resume(
        session_token: impl Into<String>,
        deeplink: impl Into<String>,
        expires_at: SystemTime,
    ) -> Self {
        let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        Self {
            session_token: session_token.into(),
            deeplink: deeplink.into(),
            expires_at: Some(expires_at),
            poll_until: Instant::now() + left.min(Self::MAX_LIFETIME),
            date: None,
        }
    }

    /// The token that identifies the session. The webhook and the proof carry it too.
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

    /// The expiry time, if the API sends it.
    ///
    /// ```
    /// use std::time::SystemTime;
    ///
    /// use bondify_client::{Error, Session, Sessions};
    ///
    /// /// Waits for a login that began before this process did, from the columns of a table.
    /// async fn resume(sessions: &Sessions, row: (String, String, SystemTime)) -> Result<bool, Error> {
    ///     let (token, link, expires_at) = row; // stored from `expires_at` when the login began
    ///     let session = Session::resume(&token, &link, expires_at);
    ///     Ok(sessions.wait(&session).await?.login().is_some())
    /// }
    /// ```
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// The time at which the API generated the session, by its own clock, if it sends it. Compare it with this
    /// machine's clock, by which proofs are verified.
    #[must_use]
    pub fn date(&self) -> Option<SystemTime> {
        self.date
    }

    /// The time left until the session expires. It is measured from the arrival of the API's response, so this
    /// machine's clock does not matter.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use bondify_client::Session;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let in_a_minute = SystemTime::now() + Duration::from_secs(60);
    /// let session = Session::resume("sess_1", "https://t.me/shop_bot?start=sess_1", in_a_minute);
    /// assert!(session.time_left() <= Duration::from_secs(60));
    /// # }
    /// ```
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.poll_until.saturating_duration_since(Instant::now())
    }

    /// The lifetime of a session that was generated at `date`. Both times are the server's, because
    /// this machine's clock may be wrong. The default applies if one of them is missing.
    fn lifetime(expires_at: Option<SystemTime>, date: Option<SystemTime>) -> Duration {
        let both = expires_at.zip(date);
        both.and_then(|(end, date)| end.duration_since(date).ok())
            .filter(|lifetime| !lifetime.is_zero())
            .unwrap_or(Self::DEFAULT_LIFETIME)
            .min(Self::MAX_LIFETIME)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// The response of `generate/public`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct GenerateResponse {
    session_token: Maybe<String>,
    deeplink: Maybe<String>,
    expires_at: Maybe<Time>,
}

impl GenerateResponse {
    /// The session of a response that has just arrived, and that the server sent at `date`.
    pub(crate) fn into_session(self, date: Option<SystemTime>) -> Result<Session, Error> {
        let expires_at = self.expires_at.known();
        Ok(Session {
            session_token: self.session_token.required("session_token")?,
            deeplink: self.deeplink.required("deeplink")?,
            expires_at,
            poll_until: Instant::now() + Session::lifetime(expires_at, date),
            date,
        })
    }
}

/// The status of a login session.
///
/// `L` is the login of a confirmed session: a [`ConfirmedSession`] with its proof where a
/// session is polled, a [`RecordedLogin`](crate::RecordedLogin) in a list of sessions.
///
/// `Debug` shows nothing personal.
///
/// ```
/// use bondify_client::SessionStatus;
///
/// fn text(status: &SessionStatus) -> String {
///     match status {
///         SessionStatus::Pending => "confirm in Telegram".to_owned(),
///         SessionStatus::Confirmed(login) => format!("welcome, {}", login.user().name()),
///         SessionStatus::Cancelled { .. } => "cancelled".to_owned(),
///         other => other.name().to_owned(),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionStatus<L = ConfirmedSession> {
    /// The user has not decided yet.
    Pending,
    /// The user tapped Confirm. The proof is still to be verified.
    Confirmed(L),
    /// The user tapped Cancel.
    Cancelled {
        /// The time of the tap, if the API sends it.
        cancelled_at: Option<SystemTime>,
    },
    /// The user did not decide within 10 minutes.
    Expired,
    /// The user confirmed, and the login was completed before, for example in another tab. The login is
    /// `Some` if the API repeats all of its fields.
    Used(Option<L>),
    /// A status that is unknown to this version, in a list of sessions. Polling returns an
    /// error for it.
    Other(String),
}

impl<L> SessionStatus<L> {
    /// Reads the name that the API sends. `login` reads the login of a confirmed session.
    pub(crate) fn read(
        name: String,
        cancelled_at: Option<SystemTime>,
        login: impl FnOnce() -> Result<L, Error>,
    ) -> Result<Self, Error> {
        Ok(match &*name {
            "pending" => Self::Pending,
            "confirmed" => Self::Confirmed(login()?),
            "cancelled" => Self::Cancelled { cancelled_at },
            "expired" => Self::Expired,
            "used" => Self::Used(login().ok()),
            _ => Self::Other(name),
        })
    }

    /// Whether the status is final: every status but [`Pending`](Self::Pending).
    ///
    /// ```
    /// use bondify_client::SessionStatus;
    ///
    /// assert!(!SessionStatus::<()>::Pending.is_terminal());
    /// assert!(SessionStatus::<()>::Expired.is_terminal());
    /// ```
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::Pending)
    }

    /// The name of the status, as the API sends it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed(_) => "confirmed",
            Self::Cancelled { .. } => "cancelled",
            Self::Expired => "expired",
            Self::Used(_) => "used",
            Self::Other(name) => name,
        }
    }

    /// The login, if the session was confirmed and the API sends it.
    ///
    /// ```
    /// use bondify_client::SessionStatus;
    ///
    /// fn greeting(status: &SessionStatus) -> String {
    ///     match status.login() {
    ///         Some(login) => format!("welcome, {}", login.user().name()),
    ///         None => format!("not signed in: {}", status.name()),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn login(&self) -> Option<&L> {
        match self {
            Self::Confirmed(login) | Self::Used(Some(login)) => Some(login),
            _ => None,
        }
    }
}

/// A confirmed login: the user, as the API sends it, and the proof.
///
/// Only the proof is signed. Unless your own server polled the API, verify the proof and use
/// the user in it. `Debug` shows nothing personal.
///
/// ```
/// use bondify_client::ConfirmedSession;
///
/// /// On the server that polled.
/// fn print(login: &ConfirmedSession) {
///     println!("user {} signed in", login.user().id());
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ConfirmedSession {
    login: Confirmed,
    proof: String,
    confirmed_at: Option<SystemTime>,
}

impl ConfirmedSession {
    /// The user who confirmed.
    #[must_use]
    pub fn user(&self) -> &TelegramUser {
        self.login.user()
    }

    /// The token of the session that the user confirmed.
    #[must_use]
    pub fn session_token(&self) -> &str {
        self.login.session_token()
    }

    /// The proof: a JWT that is signed with the project's webhook secret and valid for 5 minutes.
    ///
    /// A server verifies a proof that a browser or an app sends it, without a request to the API:
    ///
    /// ```no_run
    /// # #[cfg(feature = "proof")]
    /// # fn example(proof: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// use bondify_client::{ProofVerifier, Secret};
    ///
    /// let proofs = ProofVerifier::new(Secret::from_env("BONDIFY_WEBHOOK_SECRET")?).project("proj_abc123");
    /// println!("welcome, user {}", proofs.verify(proof)?.user().id());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn proof(&self) -> &str {
        &self.proof
    }

    /// The time at which the user tapped Confirm, if the API sends it.
    #[must_use]
    pub fn confirmed_at(&self) -> Option<SystemTime> {
        self.confirmed_at
    }

    /// The login as an event, with the same key as its webhook.
    ///
    /// The event has no signature: it is trusted because Bondify's API sent it over TLS, so use it on
    /// the server that polled. If a browser or an app polled, verify the proof and use
    /// `Event::from(&proof)`. If the API does not send the time at which the user tapped Confirm, the
    /// event has the time of the response.
    ///
    /// ```
    /// use bondify_client::ConfirmedSession;
    /// use bondify_core::{Bondify, Event, HandleError};
    ///
    /// async fn on_confirmed(bondify: &Bondify, login: &ConfirmedSession) -> Result<(), HandleError<String>> {
    ///     bondify.handle(login.event(), sign_in).await?; // not handled again if the webhook was
    ///     Ok(())
    /// }
    ///
    /// async fn sign_in(event: Event) -> Result<(), String> {
    ///     println!("{event}");
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn event(&self) -> Event {
        Event::Confirmed(self.login.clone())
    }
}

impl fmt::Debug for ConfirmedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfirmedSession").finish_non_exhaustive()
    }
}

/// The response of `verify/public`: the fields of every status, flat.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct VerifyResponse {
    status: Maybe<String>,
    code: Maybe<String>,
    telegram_id: Maybe<TelegramId>,
    telegram_name: Maybe<Text>,
    telegram_username: Maybe<Text>,
    telegram_phone: Maybe<String>,
    proof: Maybe<String>,
    confirmed_at: Maybe<Time>,
    cancelled_at: Maybe<Time>,
}

impl VerifyResponse {
    /// The status of the session with this token.
    pub(crate) fn into_status(mut self, session_token: &str) -> Result<SessionStatus, Error> {
        let name = match self.status.0.take() {
            Some(name) => name,
            // The source of an official SDK reads a user and a proof without a status as confirmed.
            None if self.proof.0.is_some() => "confirmed".to_owned(),
            None => {
                let outcome = self.code.0.as_deref().and_then(outcome);
                return outcome.ok_or_else(|| Error::field("status"));
            }
        };
        let cancelled_at = self.cancelled_at.known();
        match SessionStatus::read(name, cancelled_at, || self.into_login(session_token))? {
            SessionStatus::Other(name) => Err(Error::unknown_status(&name)),
            status => Ok(status),
        }
    }

    fn into_login(self, session_token: &str) -> Result<ConfirmedSession, Error> {
        let confirmed_at = self.confirmed_at.known();
        let user = UserFields {
            telegram_id: self.telegram_id.0,
            telegram_name: self.telegram_name.0,
            telegram_username: self.telegram_username.0,
            telegram_phone: self.telegram_phone.0,
        };
        let at = confirmed_at.unwrap_or_else(SystemTime::now);
        let login = user.confirmed(session_token, at)?;
        Ok(ConfirmedSession { login, proof: self.proof.required("proof")?, confirmed_at })
    }
}

/// The outcome of a session that a machine code names. The official SDKs know these codes. The HTTP
/// status that comes with them is not documented.
pub(crate) fn outcome(code: &str) -> Option<SessionStatus> {
    match code {
        "SESSION_EXPIRED" => Some(SessionStatus::Expired),
        "SESSION_CANCELLED" => Some(SessionStatus::Cancelled { cancelled_at: None }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};
    use serde_json::{Value, json};

    use super::*;

    fn status(json: &str) -> Result<SessionStatus, Error> {
        let answer: VerifyResponse =
            serde_json::from_str(json).map_err(|error| Error::malformed(&error))?;
        answer.into_status("sess_1")
    }

    fn session(json: &str) -> Result<Session, Error> {
        let answer: GenerateResponse =
            serde_json::from_str(json).map_err(|error| Error::malformed(&error))?;
        answer.into_session(Some(millis(1_700_000_000_000)))
    }

    fn millis(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn a_session_expires_by_the_servers_clock_or_after_ten_minutes() {
        // The server's clock is years behind this machine's.
        let known = r#"{"session_token":"s","deeplink":"d","expires_at":1700000300123}"#;
        let known = session(known).unwrap();
        assert_eq!(known.expires_at(), Some(millis(1_700_000_300_123)));
        let left = known.time_left();
        assert!(
            (Duration::from_secs(4 * 60)..=Duration::from_secs(301)).contains(&left),
            "{left:?}"
        );

        let unknown = session(r#"{"session_token":"s","deeplink":"d"}"#).unwrap();
        assert_eq!(unknown.expires_at(), None);
        let nine_minutes = Duration::from_secs(9 * 60);
        assert!((nine_minutes..=Session::DEFAULT_LIFETIME).contains(&unknown.time_left()));

        let default = Session::DEFAULT_LIFETIME;
        let lifetime = |end, date| Session::lifetime(Some(millis(end)), date);
        assert_eq!(lifetime(1, None), default);
        assert_eq!(lifetime(1, Some(millis(1))), default);
        assert_eq!(lifetime(1, Some(millis(2))), default);
        assert_eq!(lifetime(u64::MAX, Some(millis(2))), Session::MAX_LIFETIME);
    }

    #[test]
    fn a_resumed_session_has_the_time_that_is_left() {
        let in_a_minute = SystemTime::now() + Duration::from_secs(60);
        let session = Session::resume("s", "d", in_a_minute);
        assert_eq!((session.session_token(), session.deeplink()), ("s", "d"));
        assert_eq!(session.expires_at(), Some(in_a_minute));
        let left = session.time_left();
        assert!((Duration::from_secs(30)..=Duration::from_secs(60)).contains(&left), "{left:?}");
        assert_eq!(Session::resume("s", "d", millis(0)).time_left(), Duration::ZERO);
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
        let Ok(SessionStatus::Confirmed(login)) = status(CONFIRMED) else { panic!() };
        assert_eq!(login.user().id().to_i64(), Some(7_123_456_789));
        assert_eq!(login.user().name(), "Ada \u{fffd}");
        assert_eq!(login.user().username(), Some("hush_ada"));
        assert_eq!(login.user().phone(), Some("+49hush"));
        assert_eq!(login.proof(), "hush.hush.hush");
        assert_eq!(login.confirmed_at(), Some(millis(1_700_000_000_123)));
    }

    #[test]
    fn a_confirmed_session_with_the_required_fields_only() {
        let minimal = r#"{"status":"confirmed","telegram_id":"1","telegram_name":"",
            "telegram_username":null,"proof":"p"}"#;
        let Ok(SessionStatus::Confirmed(login)) = status(minimal) else { panic!() };
        assert_eq!(login.user().name(), "");
        assert_eq!(login.user().username(), None);
        assert_eq!(login.user().phone(), None);
        assert_eq!(login.confirmed_at(), None);
    }

    #[test]
    fn an_error_names_the_missing_field_of_a_confirmed_session() {
        let whole: Value =
            serde_json::from_str(&CONFIRMED.replace("\\ud83d", "").replace("1e400", "1")).unwrap();
        for field in ["telegram_id", "telegram_name", "proof"] {
            let mut lacking = whole.clone();
            lacking.as_object_mut().unwrap().remove(field);
            let error = status(&lacking.to_string()).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");

            let mut used = lacking.clone();
            used["status"] = "used".into();
            assert_eq!(status(&used.to_string()).unwrap(), SessionStatus::Used(None));
        }
    }

    #[test]
    fn each_other_status_is_read() {
        assert_eq!(status(r#"{"status":"pending"}"#).unwrap(), SessionStatus::Pending);
        assert_eq!(status(r#"{"status":"expired"}"#).unwrap(), SessionStatus::Expired);
        assert_eq!(status(r#"{"status":"used"}"#).unwrap(), SessionStatus::Used(None));
        let Ok(SessionStatus::Confirmed(login)) = status(CONFIRMED) else { panic!() };
        let used = status(&CONFIRMED.replace(r#""confirmed","#, r#""used","#)).unwrap();
        assert_eq!(used, SessionStatus::Used(Some(login)));
        for (cancelled_at, expected) in [
            ("1700000000123", Some(millis(1_700_000_000_123))),
            (r#""1700000000123""#, Some(millis(1_700_000_000_123))),
            (r#""2023-11-14T22:13:20.123Z""#, Some(millis(1_700_000_000_123))),
            ("1700000000", None),
            ("null", None),
        ] {
            let json = format!(r#"{{"status":"cancelled","cancelled_at":{cancelled_at}}}"#);
            assert_eq!(status(&json).unwrap(), SessionStatus::Cancelled { cancelled_at: expected });
        }
    }

    #[test]
    fn a_user_and_a_proof_without_a_status_are_a_confirmed_login() {
        let Ok(SessionStatus::Confirmed(login)) = status(CONFIRMED) else { panic!() };
        for bare in [
            CONFIRMED.replace(r#""status":"confirmed","#, ""),
            CONFIRMED.replace(r#""confirmed","#, "null,"),
        ] {
            assert_eq!(status(&bare).unwrap(), SessionStatus::Confirmed(login.clone()));
        }
        let error = status(r#"{"proof":"p","telegram_name":"Ada"}"#).unwrap_err();
        assert!(error.to_string().contains("telegram_id"), "{error}");
        assert!(status(r#"{"telegram_id":"1","telegram_name":"Ada"}"#).is_err());
    }

    #[test]
    fn a_code_without_a_status_is_an_outcome() {
        let cancelled = SessionStatus::Cancelled { cancelled_at: None };
        let code = |code| status(&json!({"error": "in words", "code": code}).to_string());
        assert_eq!(code("SESSION_EXPIRED").unwrap(), SessionStatus::Expired);
        assert_eq!(code("SESSION_CANCELLED").unwrap(), cancelled);
        assert!(code("PROJECT_INACTIVE").unwrap_err().to_string().contains("status"));
    }

    #[test]
    fn side_fields_of_any_type_never_fail() {
        for odd in ["null", "-1", "{}", "[7]", "true", r#""""#, "1e400"] {
            let generated = format!(r#"{{"session_token":"s","deeplink":"d","expires_at":{odd}}}"#);
            assert_eq!(session(&generated).unwrap().expires_at(), None, "{odd}");
            let confirmed = format!(
                r#"{{"status":"confirmed","telegram_id":"1","telegram_name":"Ada","proof":"p",
                    "telegram_username":{odd},"telegram_phone":{odd},"confirmed_at":{odd},
                    "code":{odd}}}"#
            );
            let Ok(SessionStatus::Confirmed(login)) = status(&confirmed) else { panic!("{odd}") };
            assert_eq!((login.user().id().as_str(), login.confirmed_at()), ("1", None));
            for name in ["pending", "cancelled", "expired", "used"] {
                let other = format!(r#"{{"status":"{name}","cancelled_at":{odd},"proof":{odd}}}"#);
                assert_eq!(status(&other).unwrap().name(), name);
            }
        }
        for text in [r#""1700000300123""#, r#""2023-11-14 22:18:20.123""#] {
            let generated =
                format!(r#"{{"session_token":"s","deeplink":"d","expires_at":{text}}}"#);
            let session = session(&generated).unwrap();
            assert_eq!(session.expires_at(), Some(millis(1_700_000_300_123)));
        }
    }

    #[test]
    fn an_unknown_status_is_an_error_that_names_it() {
        let error = status(r#"{"status":"paused"}"#).unwrap_err();
        assert!(error.to_string().contains("paused"), "{error}");
        assert!(!error.is_transient());
        for json in ["{}", "[]", "null", r#"{"status":null}"#, r#"{"status":""}"#, "pending"] {
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
        fn a_confirmed_login_is_read_unchanged(
            (id, name, proof) in ("[0-9]{1,19}", ".*", ".+"),
            (username, phone) in (option::of(".+"), option::of(".+")),
            confirmed_at in option::of(1_000_000_000_000..100_000_000_000_000_u64),
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
                SessionStatus::Confirmed(login) if !used => login,
                SessionStatus::Used(Some(login)) if used => login,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(login.user().id().as_str(), id);
            prop_assert_eq!(login.user().name(), name);
            prop_assert_eq!(login.user().username(), username.as_deref());
            prop_assert_eq!(login.user().phone(), phone.as_deref());
            prop_assert_eq!(login.proof(), proof);
            prop_assert_eq!(login.confirmed_at(), confirmed_at.map(millis));
        }
    }
}
