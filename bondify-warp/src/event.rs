use bondify_core::adapter::{define_bondify_event, define_bondify_rejection, response};
use bytes::Bytes;
use warp::reply::Response;

define_bondify_event! {
    /// The verified event that a handler is called with.
    ///
    /// Only the filters of [`BondifyExt`](crate::BondifyExt) create one, so a handler without Bondify does
    /// not compile.
    ///
    /// ```
    /// use bondify_warp::{BondifyEvent, Event, TelegramUser};
    /// use warp::http::StatusCode;
    ///
    /// async fn log_in(_user: &TelegramUser) -> Result<(), StatusCode> {
    ///     Ok(()) // in your database
    /// }
    ///
    /// async fn on_event(BondifyEvent(event): BondifyEvent) -> Result<StatusCode, StatusCode> {
    ///     if let Event::Confirmed(confirmed) = event {
    ///         log_in(confirmed.user()).await?; // Bondify retries after an error
    ///     }
    ///     Ok(StatusCode::NO_CONTENT)
    /// }
    /// ```
}

define_bondify_rejection! {
    /// The response to a request without an accepted proof.
    ///
    /// It is a [`warp::Reply`], not a [`warp::Rejection`]: no later route is tried.
}

impl warp::Reply for BondifyRejection {
    fn into_response(self) -> Response {
        response::<Bytes>(self.reply()).map(Vec::from).into_response()
    }
}
