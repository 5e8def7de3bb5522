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
    /// It combines with any other extractors, in any order. An extractor that takes the body gets the
    /// bytes that were signed. A `PayloadConfig` or `JsonConfig` limits that extractor: with a limit
    /// below the body, the route answers 413 to every retry. [`Event::raw`](crate::Event::raw) returns
    /// the same bytes without a limit.
    ///
    /// A route without Bondify answers 500 `MISCONFIGURED` and logs what to add. Do not take an
    /// `Option<BondifyEvent>`: without Bondify it is `None` for every request that anybody sends, and
    /// the response does not show the mistake.
    ///
    /// A panic of a handler that takes a `BondifyEvent` is answered with 500. A panic of another handler
    /// is an error of the service.
    ///
    /// ```
    /// use actix_web::{HttpResponse, error::ErrorInternalServerError, web::Data};
    /// use bondify_actix::{BondifyEvent, Event, TelegramUser};
    ///
    /// struct Users; // your database
    ///
    /// impl Users {
    ///     async fn log_in(&self, _user: &TelegramUser) -> Result<(), std::io::Error> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// async fn on_event(
    ///     BondifyEvent(event): BondifyEvent,
    ///     users: Data<Users>,
    /// ) -> actix_web::Result<HttpResponse> {
    ///     if let Event::Confirmed(confirmed) = event {
    ///         // Bondify retries after an error.
    ///         users.log_in(confirmed.user()).await.map_err(ErrorInternalServerError)?;
    ///     }
    ///     Ok(HttpResponse::NoContent().finish())
    /// }
    /// ```
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
/// the handler, the response needs it. The request cannot be kept earlier, since actix-web's routing
/// requires that there is no clone of it. The reference is weak, as the request owns the extensions.
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
