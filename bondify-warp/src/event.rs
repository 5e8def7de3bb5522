use bondify_core::adapter::{define_bondify_event, define_bondify_rejection, response};
use bytes::Bytes;
use warp::reply::Response;

define_bondify_event! {
    /// The verified event that a handler is called with.
    ///
    /// Only [`webhook`](crate::BondifyExt::webhook) and [`Hook::run`](crate::Hook::run) make one,
    /// so a handler without Bondify does not compile.
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
