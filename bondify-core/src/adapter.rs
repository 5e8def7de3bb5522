//! The parts that only adapters for web frameworks need.
//!
//! An adapter passes the head of a request, its body and the route's handler to
//! [`Bondify::serve`](crate::Bondify::serve), and answers with the handler's response or with the [`Reply`] in
//! its place. It decides nothing else. This is a complete adapter for a framework whose requests hold their
//! body:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bondify_core::{Bondify, Event, adapter::{self, Head}};
//! use bytes::Bytes;
//! use futures_util::stream;
//! use http::{Request, Response};
//!
//! async fn receive(bondify: Bondify, request: Request<Bytes>) -> Response<Bytes> {
//!     let (parts, body) = request.into_parts();
//!     let body = stream::iter([Ok::<_, Infallible>(body)]);
//!     let status = |response: &Response<Bytes>| response.status().as_u16();
//!     // A client that hangs up drops this future, but cannot stop the handler.
//!     let served = bondify.serve(Head::of(&parts), body, handler, status).await;
//!     served.unwrap_or_else(adapter::response)
//! }
//!
//! async fn handler(event: Event) -> Response<Bytes> {
//!     Response::new(event.name().to_owned().into())
//! }
//! ```
//!
//! A framework that takes tower layers needs no adapter: use `bondify-tower`.
//! [An example](https://github.com/bondify/bondify-rust/tree/main/examples/salvo) is a whole adapter for salvo.
//!
//! # The parts
//!
//! - **Head.** [`RequestHead`] is implemented for `http` 1. For a framework with other types, implement it for
//!   a newtype. [`Head::of`] then decides whether the request is a delivery.
//! - **Body.** Any stream of [`Buf`](bytes::Buf)s, the framework's own body included. Core limits it. If the
//!   framework buffers the body before, let it read [`read_limit`] bytes.
//! - **Handler.** It gets the event, and the bytes that were signed in place of the body.
//! - **Response.** [`response`] makes one of a [`Reply`] for `http` 1. For other types, copy
//!   [`status`](Reply::status), [`headers`](Reply::headers) and [`body`](Reply::body).
//! - **Event.** [`define_bondify_event!`] defines the framework's extractor or guard; the handler puts the
//!   event where that finds it. Without an event the extractor answers [`misconfigured`], unless the route does not
//!   compile or launch.
//! - **Rejection.** [`define_bondify_rejection!`] defines the error of the extractors. Implement the framework's
//!   response trait for it.
//! - **Attaching.** A trait `BondifyExt`, sealed by a private supertrait, is implemented for all
//!   [`Into<Projects>`](crate::Projects): for a `Bondify`, and for the `Projects` of a server of several projects. Ask
//!   [`Projects::choose`](crate::Projects::choose) for the `Bondify` of each request first.
//! - **Users**, with the feature `proof`. [`define_bondify_user!`] defines the extractor. Implement the framework's
//!   required and optional extraction for it by
//!   [`ProofVerifier::authenticate`](crate::ProofVerifier::authenticate). Keep its result with the request, and pass
//!   it as `earlier` if the request is asked again.
//! - **Sign-in**, with the feature `login`. `bondify_login::adapter` documents its four routes. A trait `LoginExt`
//!   mounts them.
//! - **Features.** Forward `metrics`, `proof` and `serde`. Export the client and the stores again by `client`, `redis`,
//!   `mysql`, `postgres` and `sqlite`.
//!
//! An adapter has no status literal for a delivery and no `match` on replies. No handler behind Bondify runs for a
//! request that is not signed, whatever type it takes the body by.
//!
//! # Other frameworks
//!
//! - **Handlers that cannot be wrapped**, as in Rocket: call [`Bondify::claim`](crate::Bondify::claim), keep the
//!   [`Claim`] where it is dropped with the request, and [settle](Claim::settle) it by the final status.
//! - **Futures that are not `Send`**, as in actix-web: call `claim`, then [`Claim::run_local`].
//! - **A framework that tells an application of its shutdown**, as Rocket does, calls
//!   [`drain`](crate::Bondify::drain) by itself. With others the application calls it after the server has ended.
//!
//! # The tests
//!
//! The suites of `bondify-testkit` prove an adapter right, over TCP. Implement `http_suite::Adapter` and expand
//! `http_suite!`; with users, implement `user_suite::Adapter` and expand `user_suite!`. All cases pass, and
//! `Adapter::serve` returns `None` only for a mistake with which the framework does not compile or launch.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

#[cfg(feature = "proof")]
pub use crate::__define_bondify_user as define_bondify_user;
#[cfg(feature = "proof")]
pub use crate::proof::Authentication;
pub use crate::{
    __define_bondify_event as define_bondify_event,
    __define_bondify_rejection as define_bondify_rejection,
    cookies::visit_cookies,
    head::{Head, RequestHead},
    headers::Headers,
    pipeline::Claim,
    reply::misconfigured,
};
use crate::{Bondify, Reply, body};

/// The size in bytes up to which a body is read, for frameworks that need a limit of their own.
///
/// It is larger than the body limit: an oversized body is read and discarded, so that its sender reads the
/// answer instead of a connection reset.
///
/// ```
/// use bondify_core::{Bondify, adapter};
/// use bytes::Bytes;
///
/// /// For a framework that hands over the whole body.
/// fn is_readable(bondify: &Bondify, body: &Bytes) -> bool {
///     body.len() <= adapter::read_limit(bondify)
/// }
/// ```
pub fn read_limit(bondify: &Bondify) -> usize {
    body::read_limit(bondify.body_limit())
}

/// Returns the response of a reply, for frameworks on `http` 1.
///
/// ```
/// use bondify_core::{Reply, adapter};
/// use bytes::Bytes;
///
/// let response: http::Response<Bytes> = adapter::response(Reply::Duplicate);
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.into_body(), r#"{"status":"duplicate"}"#);
/// ```
pub fn response<B: From<Bytes>>(reply: Reply) -> Response<B> {
    let mut response = Response::new(Bytes::from_static(reply.body().as_bytes()).into());
    *response.status_mut() =
        StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for &(name, value) in reply.headers() {
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// Defines `BondifyEvent`, the type in which an adapter passes a verified [`Event`] to a
/// handler. It is a newtype, since an adapter can implement its framework's traits only for a type of
/// its own. Its field is public, so that a handler can write
/// `BondifyEvent(event): BondifyEvent`.
///
/// [`Event`]: crate::Event
///
/// ```
/// bondify_core::adapter::define_bondify_event! {
///     /// The verified event, extracted by this framework.
/// }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __define_bondify_event {
    ($(#[$attribute:meta])*) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        pub struct BondifyEvent(pub $crate::Event);

        impl ::std::ops::Deref for BondifyEvent {
            type Target = $crate::Event;

            fn deref(&self) -> &$crate::Event {
                &self.0
            }
        }

        impl ::std::fmt::Display for BondifyEvent {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

/// Defines `BondifyUser`, the type in which an adapter passes the user of a verified [`Proof`] to
/// a handler. It derefs to the [`TelegramUser`], which handlers use most. Its field
/// is public, so that a handler can write `BondifyUser(proof): BondifyUser`. Only verification
/// creates a proof.
///
/// [`Proof`]: crate::Proof
/// [`TelegramUser`]: crate::TelegramUser
///
/// ```
/// bondify_core::adapter::define_bondify_user! {
///     /// The user who is logged in, extracted by this framework.
/// }
///
/// fn greeting(user: &BondifyUser) -> String {
///     format!("hello {}", user.name())
/// }
/// ```
#[cfg(feature = "proof")]
#[doc(hidden)]
#[macro_export]
macro_rules! __define_bondify_user {
    ($(#[$attribute:meta])*) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        pub struct BondifyUser(pub $crate::Proof);

        impl BondifyUser {
            /// The verified proof, which also holds the session and the project.
            pub fn proof(&self) -> &$crate::Proof {
                &self.0
            }
        }

        impl ::std::ops::Deref for BondifyUser {
            type Target = $crate::TelegramUser;

            fn deref(&self) -> &$crate::TelegramUser {
                self.0.user()
            }
        }
    };
}

/// Defines `BondifyRejection`, the error of an adapter's extractors and guards. It is a newtype of the
/// [`Reply`] that the client gets. The adapter implements its framework's response trait for it.
///
/// ```
/// use bondify_core::adapter::{define_bondify_rejection, misconfigured};
///
/// define_bondify_rejection! {
///     /// The response of this framework when there is no verified event or user to extract.
/// }
///
/// let rejection = BondifyRejection(misconfigured("add the middleware"));
/// assert_eq!(rejection.reply().code(), "MISCONFIGURED");
/// assert_eq!(rejection.to_string(), "this route is not set up for Bondify");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __define_bondify_rejection {
    ($(#[$attribute:meta])*) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct BondifyRejection(pub(crate) $crate::Reply);

        impl BondifyRejection {
            /// The reply that the client gets.
            pub const fn reply(self) -> $crate::Reply {
                self.0
            }
        }

        impl ::std::fmt::Display for BondifyRejection {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::error::Error for BondifyRejection {}
    };
}
