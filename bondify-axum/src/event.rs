use std::{fmt, ops::Deref};

use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use bondify_core::{Event, Reply};

/// Extracts the verified event of a route that Bondify is attached to.
///
/// Combines with any other extractor, in any position, those that take the body
/// included: they get the bytes that were signed.
///
/// On a route without Bondify it answers 500 `MISCONFIGURED` and logs what to add.
#[derive(Clone, Debug)]
pub struct BondifyEvent(pub Event);

impl Deref for BondifyEvent {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.0
    }
}

impl fmt::Display for BondifyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<S: Sync> FromRequestParts<S> for BondifyEvent {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let event = parts.extensions.get().cloned().map(Self);
        event.ok_or_else(|| Rejection(Reply::misconfigured(ADVICE)))
    }
}

const ADVICE: &str = "route `bondify.post(handler)`, or add `.route_layer(bondify.layer())`";

/// The answer when there is no verified event to extract.
#[derive(Clone, Copy, Debug)]
pub struct Rejection(Reply);

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}
