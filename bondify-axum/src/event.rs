use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use bondify_core::{
    Reply,
    adapter::{define_bondify_event, misconfigured, response},
};

define_bondify_event! {
    /// Extracts the verified event of a route that Bondify is attached to.
    ///
    /// Combines with any other extractor, in any position, those that take the body
    /// included: they get the bytes that were signed.
    ///
    /// On a route without Bondify it answers 500 `MISCONFIGURED` and logs what to add.
}

impl<S: Sync> FromRequestParts<S> for BondifyEvent {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let event = parts.extensions.get().cloned().map(Self);
        event.ok_or_else(|| Rejection(misconfigured(ADVICE)))
    }
}

const ADVICE: &str = "route `bondify.post(handler)`, or add `.route_layer(bondify.layer())`";

/// The answer when there is nothing verified to extract.
#[derive(Clone, Copy, Debug)]
pub struct Rejection(pub(crate) Reply);

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        response(self.0)
    }
}
