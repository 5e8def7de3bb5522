use std::{
    cell::OnceCell,
    future::{Ready, ready},
    rc::Weak,
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError, dev::Payload,
    http::StatusCode,
};
use bondify_core::adapter::{define_bondify_event, define_bondify_rejection, misconfigured};

define_bondify_event! {
    /// Extracts the verified event of a route that Bondify is attached to.
    ///
    /// Combines with any other extractor, in any position, those that take the body
    /// included: they get the bytes that were signed.
    ///
    /// A route without Bondify answers 500 `MISCONFIGURED` and logs what to add.
}

impl FromRequest for BondifyEvent {
    type Error = BondifyRejection;
    type Future = Ready<Result<Self, BondifyRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let kept = request.extensions().get().and_then(|KeptRequest(kept)| kept.upgrade());
        if let Some(kept) = kept {
            let _already_kept = kept.set(request.clone());
        }
        let event = request.extensions().get().cloned().map(Self);
        ready(event.ok_or_else(|| BondifyRejection(misconfigured(ADVICE))))
    }
}

/// The place in a request's extensions where the extractor keeps the request itself: after a panic of
/// the handler, the response needs it. It cannot be kept earlier, since actix-web's routing requires
/// that nobody else has it. Weak, as the request has the extensions.
pub(crate) struct KeptRequest(pub(crate) Weak<OnceCell<HttpRequest>>);

const ADVICE: &str = "add `.wrap(bondify.middleware())` to the resource or the route";

define_bondify_rejection! {
    /// The response to a request without a verified event or an accepted proof.
}

impl ResponseError for BondifyRejection {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        for &header in self.0.headers() {
            response.insert_header(header);
        }
        response.body(self.0.body())
    }
}
