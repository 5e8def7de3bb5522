use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use bondify_core::adapter::{
    define_bondify_event, define_bondify_rejection, misconfigured, response,
};

define_bondify_event! {
    /// Extracts the verified event of a route that Bondify is attached to.
    ///
    /// It combines with any other extractors, in any order. An extractor that takes the body comes
    /// last, as always in axum, and gets the bytes that were signed. axum's `DefaultBodyLimit` limits
    /// that extractor: with a limit below the body, the route answers 413 to every retry.
    /// [`Event::raw`](crate::Event::raw) returns the same bytes without a limit.
    ///
    /// A route without Bondify answers 500 `MISCONFIGURED` and logs what to add.
    ///
    /// ```
    /// use axum::{extract::State, http::StatusCode};
    /// use bondify_axum::{BondifyEvent, Event, TelegramUser};
    ///
    /// #[derive(Clone)]
    /// struct Users; // your database
    ///
    /// impl Users {
    ///     async fn log_in(&self, _user: &TelegramUser) -> Result<(), StatusCode> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// async fn on_event(
    ///     BondifyEvent(event): BondifyEvent,
    ///     State(users): State<Users>,
    /// ) -> Result<StatusCode, StatusCode> {
    ///     if let Event::Confirmed(confirmed) = event {
    ///         users.log_in(confirmed.user()).await?; // Bondify retries after an error
    ///     }
    ///     Ok(StatusCode::NO_CONTENT)
    /// }
    /// ```
}

impl<S: Sync> FromRequestParts<S> for BondifyEvent {
    type Rejection = BondifyRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, BondifyRejection> {
        let event = parts.extensions.get().cloned().map(Self);
        event.ok_or_else(|| {
            let advice =
                "route the handler by `bondify.post(on_event)` instead of `post(on_event)`";
            BondifyRejection(misconfigured(advice))
        })
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
