use std::{
    borrow::Cow,
    error::Error as StdError,
    fmt,
    time::{Duration, SystemTime},
};

use bondify_core::SecretError;
use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::Value;

/// An error of a call to Bondify's API.
///
/// `Display` and `Debug` show no token and no secret. Of the API's response they show only the
/// HTTP status, the machine code and the name of an unknown session status.
/// [`source`](StdError::source) is the cause, such as an error of the connection.
///
/// ```
/// use bondify_client::{Error, ErrorCode};
///
/// fn advice(error: &Error) -> &'static str {
///     match error.code() {
///         Some(ErrorCode::PublicAccessDisabled) => "enable the project's public access",
///         Some(ErrorCode::ProjectNotFound) => "check the project's id",
///         _ if error.is_transient() => "try again later",
///         _ => "see the error's source",
///     }
/// }
/// ```
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Kind>);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("{0}")]
    Setting(&'static str),
    #[error("{0}")]
    UnreadableUrl(&'static str, #[source] Box<dyn StdError + Send + Sync>),
    #[error("the HTTP client cannot be set up")]
    SetUp(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the API did not answer {}", if .0.is_timeout() { "in time" } else { "completely" })]
    Transport(#[source] reqwest::Error),
    #[error("the API refused: {0}")]
    Refused(Refusal),
    #[error("the API's answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the API's answer is not the documented JSON, at line {line}, column {column}")]
    Malformed { line: usize, column: usize },
    #[error("the API's answer has no valid `{0}`")]
    Field(Cow<'static, str>),
    #[error("the API's answer has a time in {unit}, not in milliseconds, in `{field}`")]
    Unit { field: Cow<'static, str>, unit: &'static str },
    #[error("the secret in the API's answer is not a valid secret")]
    Secret(#[source] SecretError),
    #[error("the session has a status that this version of bondify-client does not know: {0:?}")]
    UnknownStatus(String),
}

/// An answer with a status other than 2xx.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: Option<ErrorCode>,
    message: Option<String>,
    retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        match self.retry_after {
            Some(delay) => write!(f, ", retry after {} s", delay.as_secs()),
            None => Ok(()),
        }
    }
}

impl Error {
    /// Whether the call ended in a time-out, while connecting or later.
    ///
    /// ```
    /// use bondify_client::{Developer, Error, ProjectSettings};
    ///
    /// /// A call that timed out may have made its change: look before a second one.
    /// async fn create(developer: &Developer, name: &str) -> Result<(), Error> {
    ///     match developer.create_project(name, ProjectSettings::new()).await {
    ///         Err(error) if error.is_timeout() => {
    ///             let projects = developer.projects().await?.records;
    ///             if projects.iter().any(|project| project.name == name) { Ok(()) } else { Err(error) }
    ///         }
    ///         created => created.map(|_project| ()),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(&*self.0, Kind::Transport(error) if error.is_timeout())
    }

    /// The HTTP status with which the API refused the call: any but 2xx, also a redirect.
    ///
    /// ```no_run
    /// # async fn example(developer: bondify_client::Developer) -> Result<(), bondify_client::Error> {
    /// if let Err(error) = developer.me().await {
    ///     match error.status() {
    ///         Some(401) => println!("the developer token is not valid"),
    ///         Some(status) => println!("refused with {status}"),
    ///         None => println!("no answer: {error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.refusal().map(|refusal| refusal.status.as_u16())
    }

    /// The machine code with which the API refused the call.
    ///
    /// If the session API sends no code, the code follows from the HTTP status: 403 is
    /// [`PublicAccessDisabled`](ErrorCode::PublicAccessDisabled), 404 is
    /// [`ProjectNotFound`](ErrorCode::ProjectNotFound), 429 is
    /// [`RateLimited`](ErrorCode::RateLimited).
    ///
    /// ```
    /// use bondify_client::{Error, ErrorCode};
    ///
    /// fn advice(error: &Error) -> &'static str {
    ///     match error.code() {
    ///         Some(ErrorCode::ProjectNotFound) => "check the project's id",
    ///         Some(ErrorCode::PublicAccessDisabled) => "enable the project's public access",
    ///         Some(ErrorCode::RateLimited) => "slow down",
    ///         _ => "see the log",
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn code(&self) -> Option<&ErrorCode> {
        self.refusal()?.code.as_ref()
    }

    /// The API's error text. It may repeat parts of the request, so show it to people and do
    /// not log it. `Display` leaves it out.
    ///
    /// ```
    /// use bondify_client::Error;
    ///
    /// /// The text for a person who manages projects.
    /// fn text(error: &Error) -> String {
    ///     error.message().map_or_else(|| error.to_string(), str::to_owned)
    /// }
    /// ```
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.refusal()?.message.as_deref()
    }

    /// The wait before the next call that the API asks for in `Retry-After`.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use bondify_client::{Account, Developer, Error};
    ///
    /// async fn account(developer: &Developer) -> Result<Account, Error> {
    ///     match developer.me().await {
    ///         Err(error) if error.is_transient() => {
    ///             tokio::time::sleep(error.retry_after().unwrap_or(Duration::from_secs(1))).await;
    ///             developer.me().await
    ///         }
    ///         answered => answered,
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal()?.retry_after
    }

    /// Whether a retry of the same call may succeed: after a network error, a time-out, a 5xx, a
    /// 408 or a 429.
    ///
    /// ```
    /// use bondify_client::{Account, Developer, Error};
    ///
    /// /// Tries three times, unless a retry cannot help.
    /// async fn account(developer: &Developer) -> Result<Account, Error> {
    ///     for _attempt in 0..2 {
    ///         match developer.me().await {
    ///             Err(error) if error.is_transient() => {
    ///                 tokio::time::sleep(error.retry_after().unwrap_or_default()).await;
    ///             }
    ///             answered => return answered,
    ///         }
    ///     }
    ///     developer.me().await
    /// }
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match &*self.0 {
            Kind::Transport(_) => true,
            Kind::Refused(Refusal { status, .. }) => {
                // A load balancer answers 408 when its own time-out has passed.
                let is_passing =
                    matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
                is_passing || status.is_server_error()
            }
            _ => false,
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        match &*self.0 {
            Kind::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Creates the error for a setting that is not valid.
    pub(crate) fn setting(problem: &'static str) -> Self {
        Kind::Setting(problem).into()
    }

    pub(crate) fn unreadable_url(
        problem: &'static str,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Kind::UnreadableUrl(problem, Box::new(source)).into()
    }

    pub(crate) fn set_up(source: impl StdError + Send + Sync + 'static) -> Self {
        Kind::SetUp(Box::new(source)).into()
    }

    pub(crate) fn transport(source: reqwest::Error) -> Self {
        Kind::Transport(source).into()
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Kind::TooLarge { limit }.into()
    }

    /// Keeps only the line and the column, because serde's text quotes the response.
    pub(crate) fn malformed(source: &serde_json::Error) -> Self {
        Kind::Malformed { line: source.line(), column: source.column() }.into()
    }

    pub(crate) fn field(name: &'static str) -> Self {
        Kind::Field(name.into()).into()
    }

    /// Creates the error for a time that is not plausible in milliseconds.
    pub(crate) fn unit(field: &'static str, unit: &'static str) -> Self {
        Kind::Unit { field: field.into(), unit }.into()
    }

    /// Prepends the path of a record of a list to the field.
    pub(crate) fn within(mut self, list: &'static str, index: usize) -> Self {
        match &mut *self.0 {
            Kind::Field(field) | Kind::Unit { field, .. } => {
                let dot = if field.is_empty() { "" } else { "." };
                *field = format!("{list}[{index}]{dot}{field}").into();
                self
            }
            _ => Self::field("").within(list, index),
        }
    }

    pub(crate) fn secret(source: SecretError) -> Self {
        Kind::Secret(source).into()
    }

    pub(crate) fn unknown_status(name: &str) -> Self {
        Kind::UnknownStatus(name.chars().take(64).collect()).into()
    }

    pub(crate) fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Kind::Refused(Refusal {
            status,
            code: body["code"].as_str().and_then(ErrorCode::parse),
            message: body["error"].as_str().map(str::to_owned),
            retry_after: retry_after.and_then(|value| retry_delay(value, SystemTime::now())),
        })
        .into()
    }

    /// Derives a missing code from the HTTP status, for the session API.
    pub(crate) fn code_by_status(mut self) -> Self {
        if let Kind::Refused(Refusal { status, code: code @ None, .. }) = &mut *self.0 {
            *code = match status.as_u16() {
                403 => Some(ErrorCode::PublicAccessDisabled),
                404 => Some(ErrorCode::ProjectNotFound),
                429 => Some(ErrorCode::RateLimited),
                _ => None,
            };
        }
        self
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(Box::new(kind))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("message", &format_args!("{self}"))
            .field("source", &self.source())
            .finish()
    }
}

/// Reads a `Retry-After`, which is in seconds or a date.
fn retry_delay(value: &str, now: SystemTime) -> Option<Duration> {
    match value.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let until = httpdate::parse_http_date(value).ok()?;
            Some(until.duration_since(now).unwrap_or_default())
        }
    }
}

/// The machine code of a refused call.
///
/// | code | status | |
/// |---|---|---|
/// | [`ProjectNotFound`](Self::ProjectNotFound) | 404 | there is no such project |
/// | [`ProjectInactive`](Self::ProjectInactive) | 403 | the project is switched off |
/// | [`PublicAccessDisabled`](Self::PublicAccessDisabled) | 403 | the project does not allow sessions with its id alone |
/// | [`RateLimited`](Self::RateLimited) | 429 | too many calls; see [`Error::retry_after`] |
/// | none | 400 | a parameter is wrong; [`Error::message`] says which |
/// | none | 401 | the developer token is missing or wrong |
///
/// ```
/// use bondify_client::{Error, ErrorCode};
///
/// fn is_wrong_project(error: &Error) -> bool {
///     matches!(error.code(), Some(ErrorCode::ProjectNotFound | ErrorCode::ProjectInactive))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// `PROJECT_NOT_FOUND`: there is no such project.
    ProjectNotFound,
    /// `PROJECT_INACTIVE`: the project is switched off.
    ProjectInactive,
    /// `PUBLIC_ACCESS_DISABLED`: the project does not allow sessions without a secret.
    PublicAccessDisabled,
    /// `RATE_LIMITED`: too many calls; see [`Error::retry_after`].
    RateLimited,
    /// A code that this version does not know.
    Other(String),
}

impl ErrorCode {
    /// The code as the API sends it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::ProjectNotFound => "PROJECT_NOT_FOUND",
            Self::ProjectInactive => "PROJECT_INACTIVE",
            Self::PublicAccessDisabled => "PUBLIC_ACCESS_DISABLED",
            Self::RateLimited => "RATE_LIMITED",
            Self::Other(code) => code,
        }
    }

    /// Accepts upper-case letters, digits and `_` only, because codes are shown in logs.
    fn parse(code: &str) -> Option<Self> {
        let machine = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let known = [
            Self::ProjectNotFound,
            Self::ProjectInactive,
            Self::PublicAccessDisabled,
            Self::RateLimited,
        ];
        let other = || Self::Other(code.to_owned());
        (matches!(code.len(), 1..=64) && code.bytes().all(machine))
            .then(|| known.into_iter().find(|known| known.as_str() == code).unwrap_or_else(other))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn refused(status: u16, body: &str) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        Error::refused(status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn a_refusal_shows_its_status_and_code_but_not_its_message() {
        let error = refused(403, r#"{"error":"hush is off","code":"PROJECT_INACTIVE"}"#);
        assert_eq!(error.to_string(), "the API refused: 403 Forbidden (PROJECT_INACTIVE)");
        assert_eq!(error.message(), Some("hush is off"));
        assert!(!format!("{error:?}").contains("hush"));
    }

    #[test]
    fn a_refusal_shows_the_pause_that_it_asks_for() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
        let error = Error::refused(StatusCode::TOO_MANY_REQUESTS, &headers, b"");
        assert_eq!(error.to_string(), "the API refused: 429 Too Many Requests, retry after 7 s");
    }

    #[test]
    fn the_path_of_a_field_names_the_record() {
        let within = |error: Error| error.within("sessions", 17).to_string();
        assert!(within(Error::field("id")).ends_with("`sessions[17].id`"));
        assert!(within(Error::field("")).ends_with("`sessions[17]`"));
        let unit = within(Error::unit("created_at", "seconds"));
        assert!(unit.contains("seconds") && unit.ends_with("`sessions[17].created_at`"), "{unit}");
    }

    #[test]
    fn every_code_has_its_variant_and_others_keep_their_text() {
        let code = |code: &str| {
            refused(400, &format!(r#"{{"code":{}}}"#, Value::from(code))).code().cloned()
        };
        for known in
            ["PROJECT_NOT_FOUND", "PROJECT_INACTIVE", "PUBLIC_ACCESS_DISABLED", "RATE_LIMITED"]
        {
            let parsed = code(known).unwrap();
            assert!(!matches!(parsed, ErrorCode::Other(_)), "{known}");
            assert_eq!(parsed.to_string(), known);
        }
        assert_eq!(code("PLAN_LIMIT_2"), Some(ErrorCode::Other("PLAN_LIMIT_2".into())));
        for not_a_code in ["", "no code", "A\nB", &"A".repeat(65)] {
            assert_eq!(code(not_a_code), None);
        }
    }

    #[test]
    fn a_missing_code_follows_from_the_status() {
        let code = |status, body| refused(status, body).code_by_status().code().cloned();
        for body in ["", "{}", "[]", "<html>", r#"{"code":7}"#] {
            assert_eq!(code(403, body), Some(ErrorCode::PublicAccessDisabled));
            assert_eq!(code(404, body), Some(ErrorCode::ProjectNotFound));
            assert_eq!(code(429, body), Some(ErrorCode::RateLimited));
            assert_eq!(code(400, body), None);
            assert_eq!(code(401, body), None);
        }
        assert_eq!(code(403, r#"{"code":"PROJECT_INACTIVE"}"#), Some(ErrorCode::ProjectInactive));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let delay = |value| retry_delay(value, now).map(|delay| delay.as_secs());
        assert_eq!(delay("120"), Some(120));
        assert_eq!(delay(" 0 "), Some(0));
        assert_eq!(delay("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(delay("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        for nonsense in ["", "-1", "1.5", "soon", "99999999999999999999"] {
            assert_eq!(delay(nonsense), None);
        }
    }

    #[test]
    fn an_unknown_status_is_named_on_one_line() {
        let error = Error::unknown_status("paused\n");
        assert!(error.to_string().ends_with(r#"know: "paused\n""#), "{error}");
        assert!(Error::unknown_status(&"x".repeat(1_000_000)).to_string().len() < 200);
    }
}
