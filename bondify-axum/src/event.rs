use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use bondify_core::adapter::{define_bondify_event, define_bondify_rejection, response};

define_bondify_event! {
    /// Extracts the verified event of a route that Bondify is attached to.
    ///
    /// Combines with any other extractor, in any position, those that take the body
    /// included: they get the bytes that were signed.
    ///
    /// A route without Bondify answers 500 `MISCONFIGURED` and logs what to add.
}

impl<S: Sync> FromRequestParts<S> for BondifyEvent {
    type Rejection = BondifyRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, BondifyRejection> {
        match bondify_tower::BondifyEvent::from_extensions(&parts.extensions) {
            Ok(bondify_tower::BondifyEvent(event)) => Ok(Self(event)),
            Err(rejection) => Err(BondifyRejection(rejection.reply())),
        }
    }
}

define_bondify_rejection! {
    /// The response to a request without a verified event or an accepted proof.
}

impl IntoResponse for BondifyRejection {
    fn into_response(self) -> Response {
        response(self.reply())
    }
}
