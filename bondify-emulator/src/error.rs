use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// An error of a call to the emulator.
///
/// Over HTTP it is `{"error":"text","code":"CODE"}` with its [`status`](Error::status).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter is missing or malformed. 400 `BAD_REQUEST`.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The developer token is missing or wrong. 401 `UNAUTHORIZED`.
    #[error(
        "the developer token is missing or wrong: send `Authorization: Bearer <developer token>`"
    )]
    Unauthorized,
    /// There is no such project. 404 `PROJECT_NOT_FOUND`.
    #[error("there is no such project")]
    ProjectNotFound,
    /// The project is switched off. 403 `PROJECT_INACTIVE`.
    #[error("the project is not active")]
    ProjectInactive,
    /// The project does not allow sessions from the public API. 403 `PUBLIC_ACCESS_DISABLED`.
    #[error("public access to the project is disabled")]
    PublicAccessDisabled,
    /// Too many public requests of one project. 429 `RATE_LIMITED`, with `Retry-After`.
    #[error("too many requests")]
    RateLimited {
        /// The time until the next request is allowed.
        retry_after: Duration,
    },
    /// The project has no session with this token. 404 `SESSION_NOT_FOUND`.
    #[error("there is no such session")]
    SessionNotFound,
    /// The session has expired, under the reading [`EndCodes`](crate::Reading::EndCodes). 410
    /// `SESSION_EXPIRED`.
    #[error("the session has expired")]
    SessionExpired,
    /// The session was cancelled, under the reading [`EndCodes`](crate::Reading::EndCodes). 410
    /// `SESSION_CANCELLED`.
    #[error("the session was cancelled")]
    SessionCancelled,
    /// Only a pending session can be confirmed, cancelled or expired. 409
    /// `SESSION_NOT_PENDING`.
    #[error("the session is not pending: it is {0}")]
    SessionNotPending(&'static str),
    /// Only a confirmed session's proof can be used. 409 `SESSION_NOT_CONFIRMED`.
    #[error("the session has no proof to use: it is {0}")]
    SessionNotConfirmed(&'static str),
    /// There is no such delivery, or it is too old to be kept. 404 `DELIVERY_NOT_FOUND`.
    #[error("there is no such delivery")]
    DeliveryNotFound,
    /// The project has no webhook URL to deliver to. 409 `NO_WEBHOOK_URL`.
    #[error("the project has no webhook URL")]
    NoWebhookUrl,
    /// The host name of the request is not allowed, as after DNS rebinding. 403
    /// `FORBIDDEN_HOST`.
    #[error("unknown host name: allow it with `Builder::allowed_host`")]
    ForbiddenHost,
    /// The request comes from a page of another origin. 403 `FORBIDDEN_ORIGIN`.
    #[error("a page of another origin may call the public API only")]
    ForbiddenOrigin,
    /// No such path. 404 `NOT_FOUND`.
    #[error("unknown path")]
    NotFound,
    /// The path is for another method. 405 `METHOD_NOT_ALLOWED`.
    #[error("wrong HTTP method for this path")]
    MethodNotAllowed,
    /// The state file cannot be written, for example because the disk is full. The change is made,
    /// but a restart loses it. 507 `STATE_NOT_WRITTEN`.
    #[error("the state file cannot be written: make room on its disk, or a restart loses changes")]
    StateNotWritten,
    /// The emulator was stopped or reset during the call. 503 `STOPPED`.
    #[error("the emulator was stopped or reset")]
    Stopped,
}

impl Error {
    pub(crate) const MALFORMED: Self = Self::BadRequest("the body is not valid JSON for this call");

    /// The machine-readable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.status_and_code().1
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status_and_code().0
    }

    fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::BadRequest(_) => (400, "BAD_REQUEST"),
            Self::Unauthorized => (401, "UNAUTHORIZED"),
            Self::ProjectNotFound => (404, "PROJECT_NOT_FOUND"),
            Self::ProjectInactive => (403, "PROJECT_INACTIVE"),
            Self::PublicAccessDisabled => (403, "PUBLIC_ACCESS_DISABLED"),
            Self::RateLimited { .. } => (429, "RATE_LIMITED"),
            Self::SessionNotFound => (404, "SESSION_NOT_FOUND"),
            Self::SessionExpired => (410, "SESSION_EXPIRED"),
            Self::SessionCancelled => (410, "SESSION_CANCELLED"),
            Self::SessionNotPending(_) => (409, "SESSION_NOT_PENDING"),
            Self::SessionNotConfirmed(_) => (409, "SESSION_NOT_CONFIRMED"),
            Self::DeliveryNotFound => (404, "DELIVERY_NOT_FOUND"),
            Self::NoWebhookUrl => (409, "NO_WEBHOOK_URL"),
            Self::ForbiddenHost => (403, "FORBIDDEN_HOST"),
            Self::ForbiddenOrigin => (403, "FORBIDDEN_ORIGIN"),
            Self::NotFound => (404, "NOT_FOUND"),
            Self::MethodNotAllowed => (405, "METHOD_NOT_ALLOWED"),
            Self::StateNotWritten => (507, "STATE_NOT_WRITTEN"),
            Self::Stopped => (503, "STOPPED"),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).expect("is a status");
        let body = Json(json!({"error": self.to_string(), "code": self.code()}));
        let mut response = (status, body).into_response();
        if let Self::RateLimited { retry_after } = self {
            let seconds = retry_after.as_millis().div_ceil(1000).max(1) as u64;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
