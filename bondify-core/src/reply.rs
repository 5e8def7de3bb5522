use std::fmt;

use crate::{VerifyError, limits::RETRY_AFTER_SECONDS};

macro_rules! body {
    ($code:literal $text:literal body $body:literal) => {
        $body
    };
    ($code:literal $text:literal) => {
        concat!(r#"{"error":""#, $text, r#"","code":""#, $code, r#""}"#)
    };
    ($code:literal $text:literal as $error:literal) => {
        concat!(r#"{"error":""#, $error, r#"","code":""#, $code, r#"","message":""#, $text, r#""}"#)
    };
}

macro_rules! replies {
    ($(
        $(#[doc = $doc:literal])+
        $reply:ident: $status:literal $code:literal $text:literal
            $(as $error:literal)? $(body $body:literal)?,
    )+) => {
        /// A response that Bondify for Rust sends instead of the handler's.
        ///
        /// Each reply has one status, one machine code and one JSON body, the same in every
        /// framework: `{"error":"human text","code":"CODE"}`, or `{"status":"duplicate"}`.
        /// A proof that is not accepted is answered
        /// `{"error":"Unauthorized","code":"CODE","message":"human text"}`, as in Bondify's
        /// Node SDK. No reply contains a detail of the payload or the store. [`Display`]
        /// writes the human text.
        ///
        /// [`Display`]: std::fmt::Display
        ///
        /// ```
        /// use bondify_core::Reply;
        ///
        /// let reply = Reply::StaleEvent;
        /// assert_eq!((reply.status(), reply.code()), (401, "STALE_EVENT"));
        /// assert!(reply.body().contains(r#""code":"STALE_EVENT""#));
        /// assert_eq!(reply.headers(), [("content-type", "application/json")]);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reply {
            $(
                #[doc = concat!($status, " `", $code, "`:")]
                $(#[doc = $doc])+
                $reply,
            )+
        }

        impl Reply {
            /// All replies.
            ///
            /// ```
            /// use bondify_core::Reply;
            ///
            /// // The answers of the route, for an API document.
            /// for reply in Reply::ALL {
            ///     println!("{} {}: {reply}", reply.status(), reply.code());
            /// }
            /// ```
            pub const ALL: &[Self] = &[$(Self::$reply),+];

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$reply => $status,)+
                }
            }

            /// The machine code, spelled as in Bondify's SDKs where they have it.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$reply => $code,)+
                }
            }

            /// The JSON body.
            pub const fn body(self) -> &'static str {
                match self {
                    $(Self::$reply => body!($code $text $(as $error)? $(body $body)?),)+
                }
            }
        }

        impl fmt::Display for Reply {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$reply => $text,)+
                })
            }
        }
    };
}

replies! {
    /// the request is for a project that the application does not know.
    ProjectNotFound: 404 "PROJECT_NOT_FOUND" "there is no such project",
    /// the body is not `application/json`.
    UnsupportedMediaType: 415 "UNSUPPORTED_MEDIA_TYPE" "the body must be application/json",
    /// the body is larger than the limit.
    PayloadTooLarge: 413 "PAYLOAD_TOO_LARGE" "the body is too large",
    /// the body could not be read to its end, or not in time.
    UnreadableBody: 400 "UNREADABLE_BODY" "the body could not be read",
    /// there is no signature header.
    MissingSignature: 401 "MISSING_SIGNATURE" "the X-Bondify-Signature header is missing",
    /// the signature is malformed, conflicting or wrong.
    InvalidSignature: 401 "INVALID_SIGNATURE" "the signature is not valid for this body",
    /// signed, but not an event.
    ParseError: 400 "PARSE_ERROR" "the body is not a Bondify event",
    /// signed, but too old or too far in the future.
    StaleEvent: 401 "STALE_EVENT" "the event is too old or in the future",
    /// the event was handled before; the handler did not run again.
    Duplicate: 200 "DUPLICATE" "the event was handled before" body r#"{"status":"duplicate"}"#,
    /// another delivery of the event is still being handled.
    InFlight: 409 "IN_FLIGHT" "another delivery of this event is being handled",
    /// the dedupe store could not answer.
    StoreUnavailable: 503 "STORE_UNAVAILABLE" "temporarily unavailable, retry later",
    /// the handler panicked.
    HandlerPanicked: 500 "HANDLER_PANICKED" "the event could not be handled",
    /// the route is not set up correctly; the log says what to change.
    Misconfigured: 500 "MISCONFIGURED" "this route is not set up for Bondify",
    /// no proof was sent.
    MissingToken: 401 "MISSING_TOKEN" "no proof was sent" as "Unauthorized",
    /// the proof is not a JWT signed with HS256, or from the future.
    InvalidToken: 401 "INVALID_TOKEN" "the proof is malformed" as "Unauthorized",
    /// the proof's signature is wrong.
    InvalidTokenSignature: 401 "INVALID_SIGNATURE" "the proof's signature is not valid" as "Unauthorized",
    /// the proof lacks a claim.
    MissingFields: 401 "MISSING_FIELDS" "the proof lacks a required claim" as "Unauthorized",
    /// the proof is too old.
    TokenExpired: 401 "TOKEN_EXPIRED" "the proof has expired" as "Unauthorized",
    /// the proof is for another project.
    WrongProject: 401 "WRONG_PROJECT" "the proof is for another project" as "Unauthorized",
    /// the proof was used before.
    TokenUsed: 401 "TOKEN_USED" "the proof was used before" as "Unauthorized",
}

const JSON: (&str, &str) = ("content-type", "application/json");

impl Reply {
    /// The headers, with names in lower case: `content-type`; `retry-after`, in seconds, if a retry can
    /// succeed; `www-authenticate` if a proof is missing or not accepted.
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::InFlight | Self::StoreUnavailable => {
                &[JSON, ("retry-after", RETRY_AFTER_SECONDS)]
            }
            Self::MissingToken => &[JSON, ("www-authenticate", "Bearer")],
            Self::InvalidToken
            | Self::InvalidTokenSignature
            | Self::MissingFields
            | Self::TokenExpired
            | Self::WrongProject
            | Self::TokenUsed => &[JSON, ("www-authenticate", r#"Bearer error="invalid_token""#)],
            _ => &[JSON],
        }
    }
}

/// Logs `advice`, which says what to change, as an error and returns [`Reply::Misconfigured`].
#[must_use]
pub fn misconfigured(advice: &str) -> Reply {
    tracing::error!("bondify is not set up on this route: {advice}");
    Reply::Misconfigured
}

impl From<VerifyError> for Reply {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::MissingSignature => Self::MissingSignature,
            VerifyError::InvalidSignature => Self::InvalidSignature,
            VerifyError::Parse(_) => Self::ParseError,
            VerifyError::NoClock => Self::Misconfigured,
            VerifyError::Stale => Self::StaleEvent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_with_the_code() {
        let body: serde_json::Value = serde_json::from_str(Reply::InFlight.body()).unwrap();
        assert_eq!(body["code"], "IN_FLIGHT");
        assert_eq!(body["error"], Reply::InFlight.to_string());
    }

    #[test]
    fn a_duplicate_is_no_error() {
        assert_eq!(Reply::Duplicate.body(), r#"{"status":"duplicate"}"#);
    }
}
