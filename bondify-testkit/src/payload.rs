use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime},
};

use bondify_core::{Cancelled, Confirmed, Secret};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::WebhookRequest;

/// The JSON body of a delivery or the claims of a proof, to be signed as Bondify signs them. All fields
/// have defaults, and a test sets the fields that matter to it.
///
/// A field may have any value, so that tests can also build bodies that Bondify never sends.
///
/// ```
/// use bondify_core::Secret;
/// use bondify_testkit::Payload;
///
/// let secret = Secret::new("whsec_test")?;
/// let request = Payload::confirmed()
///     .telegram_id("7123456789")
///     .telegram_username(None)
///     .signed_with(&secret);
/// # assert_eq!(request.signature().len(), 64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Payload {
    time_field: &'static str,
    fields: Map<String, Value>,
}

impl Payload {
    /// Creates an `auth.confirmed` event of a new session, with the current time.
    ///
    /// ```
    /// use bondify_testkit::Payload;
    ///
    /// let body = Payload::confirmed().telegram_name("Ada").to_body();
    /// assert!(String::from_utf8_lossy(&body).contains(r#""event":"auth.confirmed""#));
    /// ```
    pub fn confirmed() -> Self {
        Self::new(Confirmed::NAME, "confirmed_at").by_ada().at(SystemTime::now())
    }

    /// Creates an `auth.cancelled` event of a new session, with the current time.
    ///
    /// ```
    /// use bondify_core::{Event, Secret};
    /// use bondify_testkit::Payload;
    ///
    /// let secret = Secret::new("whsec_test")?;
    /// let event = Payload::cancelled().signed_with(&secret).verified_by(&secret)?;
    /// assert!(matches!(event, Event::Cancelled(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancelled() -> Self {
        Self::new(Cancelled::NAME, "cancelled_at").at(SystemTime::now())
    }

    /// Creates an event called `name`, unknown to this version, of a new session. It has no time unless
    /// [`at`](Self::at) sets its `confirmed_at`.
    ///
    /// ```
    /// use bondify_core::Secret;
    /// use bondify_testkit::Payload;
    ///
    /// let secret = Secret::new("whsec_test")?;
    /// let event = Payload::unknown("auth.renamed").signed_with(&secret).verified_by(&secret)?;
    /// assert_eq!(event.name(), "auth.renamed");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unknown(name: &str) -> Self {
        Self::new(name, "confirmed_at")
    }

    /// Creates the claims of a proof of a new session of the project `proj_test`. It was confirmed and
    /// issued now, and is valid for 5 minutes.
    ///
    /// ```
    /// use bondify_core::{ProofVerifier, Secret};
    /// use bondify_testkit::Payload;
    ///
    /// let secret = Secret::new("whsec_test")?;
    /// let token = Payload::proof().telegram_id("7123456789").proof_signed_with(&secret);
    /// let proof = ProofVerifier::new(secret).verify(&token)?;
    /// assert_eq!(proof.user().id().as_str(), "7123456789");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the clock is before 1970.
    pub fn proof() -> Self {
        let now = SystemTime::now();
        let issued_at = since_epoch(now).as_secs();
        Self::of_new_session("confirmed_at")
            .by_ada()
            .field("project_id", "proj_test")
            .field("iat", issued_at)
            .field("exp", issued_at + 5 * 60)
            .at(now)
    }

    fn by_ada(self) -> Self {
        self.telegram_id("123456789").telegram_name("Ada Lovelace").telegram_username(Some("ada"))
    }

    fn new(name: &str, time_field: &'static str) -> Self {
        Self::of_new_session(time_field).field("event", name)
    }

    fn of_new_session(time_field: &'static str) -> Self {
        Self { time_field, fields: Map::new() }.field("session_token", new_session_token())
    }

    /// Sets the session token. Events with the same name and session token are duplicates.
    ///
    /// ```
    /// use bondify_testkit::Payload;
    ///
    /// // Two events of one login, which are not duplicates of each other.
    /// let confirmed = Payload::confirmed().session_token("sess_1");
    /// let cancelled = Payload::cancelled().session_token("sess_1");
    /// # drop((confirmed, cancelled));
    /// ```
    pub fn session_token(self, token: impl Into<String>) -> Self {
        self.field("session_token", token.into())
    }

    /// Sets the user's id: decimal digits.
    pub fn telegram_id(self, id: impl Into<String>) -> Self {
        self.field("telegram_id", id.into())
    }

    /// Sets the display name.
    pub fn telegram_name(self, name: impl Into<String>) -> Self {
        self.field("telegram_name", name.into())
    }

    /// Sets the username; `None` is `null`.
    ///
    /// ```
    /// use bondify_core::Secret;
    /// use bondify_testkit::Payload;
    ///
    /// // Many users have no username: a handler must not rely on it.
    /// let secret = Secret::new("whsec_test")?;
    /// let event = Payload::confirmed().telegram_username(None).signed_with(&secret).verified_by(&secret)?;
    /// assert_eq!(event.user().unwrap().username(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn telegram_username(self, username: Option<&str>) -> Self {
        self.field("telegram_username", username)
    }

    /// Sets the phone number. By default it is absent.
    ///
    /// ```
    /// use bondify_core::Secret;
    /// use bondify_testkit::Payload;
    ///
    /// let secret = Secret::new("whsec_test")?;
    /// let with_phone = Payload::confirmed().telegram_phone("+15550100").signed_with(&secret);
    /// assert_eq!(with_phone.verified_by(&secret)?.user().unwrap().phone(), Some("+15550100"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn telegram_phone(self, phone: impl Into<String>) -> Self {
        self.field("telegram_phone", phone.into())
    }

    /// Sets the time of the event.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use bondify_core::Secret;
    /// use bondify_testkit::Payload;
    ///
    /// // A sender whose clock is an hour ahead.
    /// let secret = Secret::new("whsec_test")?;
    /// let ahead = SystemTime::now() + Duration::from_secs(60 * 60);
    /// assert!(Payload::confirmed().at(ahead).signed_with(&secret).verified_by(&secret).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the time is before 1970.
    pub fn at(self, time: SystemTime) -> Self {
        let field = self.time_field;
        self.field(field, since_epoch(time).as_millis() as u64)
    }

    /// Sets the time of the event to `age` ago.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::Secret;
    /// use bondify_testkit::Payload;
    ///
    /// let secret = Secret::new("whsec_test")?;
    /// let two_days = Duration::from_secs(2 * 24 * 60 * 60);
    /// let old = Payload::confirmed().aged(two_days).signed_with(&secret);
    /// assert!(old.verified_by(&secret).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aged(self, age: Duration) -> Self {
        self.at(SystemTime::now() - age)
    }

    /// Sets any field to any value, also of the wrong type.
    ///
    /// ```
    /// use bondify_core::Secret;
    /// use bondify_testkit::Payload;
    ///
    /// let secret = Secret::new("whsec_test")?;
    /// let wrong_type = Payload::confirmed().field("telegram_name", 42).signed_with(&secret);
    /// assert!(wrong_type.verified_by(&secret).is_err());
    /// let additional = Payload::confirmed().field("locale", "de").signed_with(&secret);
    /// assert!(additional.verified_by(&secret).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a field.
    ///
    /// ```
    /// use bondify_core::{ProofError, ProofVerifier, Secret};
    /// use bondify_testkit::Payload;
    ///
    /// let secret = Secret::new("whsec_test")?;
    /// let token = Payload::proof().without("exp").proof_signed_with(&secret);
    /// let refused = ProofVerifier::new(secret).verify(&token).unwrap_err();
    /// assert!(matches!(refused, ProofError::MissingField { name: "exp", .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn without(mut self, name: &str) -> Self {
        self.fields.remove(name);
        self
    }

    /// Returns the body.
    #[must_use]
    pub fn to_body(&self) -> Bytes {
        json!(self.fields).to_string().into()
    }

    /// Returns the request that Bondify sends, signed with `secret`.
    ///
    /// ```
    /// use bondify_core::Secret;
    /// use bondify_testkit::Payload;
    ///
    /// let (ours, other) = (Secret::new("whsec_test")?, Secret::new("whsec_other")?);
    /// let request = Payload::confirmed().signed_with(&ours);
    /// assert!(request.verified_by(&ours).is_ok());
    /// assert!(request.verified_by(&other).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn signed_with(&self, secret: &Secret) -> WebhookRequest {
        WebhookRequest::signed(self.to_body(), secret)
    }

    /// Returns the proof with these claims: a JWT, signed with `secret`.
    ///
    /// ```
    /// use bondify_core::Secret;
    /// use bondify_testkit::Payload;
    ///
    /// /// The header of a request to a route that takes `BondifyUser`.
    /// fn authorization(secret: &Secret) -> (&'static str, String) {
    ///     let proof = Payload::proof().telegram_id("42").proof_signed_with(secret);
    ///     ("authorization", format!("Bearer {proof}"))
    /// }
    /// ```
    #[must_use]
    pub fn proof_signed_with(&self, secret: &Secret) -> String {
        secret.sign_proof(&self.fields).expect("the claims are valid JSON")
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).expect("the time is after 1970")
}

pub(crate) fn new_session_token() -> String {
    let random = || RandomState::new().hash_one("sess");
    format!("sess_{:016x}{:016x}", random(), random())
}
