//! The contract suite for users: the cases that every adapter's `BondifyUser` passes, over real TCP.
//!
//! An adapter implements [`Adapter`], which starts a server, and expands
//! [`user_suite!`](crate::user_suite!) to one test per case.
//!
//! ```
//! use axum::{Router, routing::get};
//! use bondify_axum::{BondifyUser, ProofVerifier};
//! use bondify_testkit::{
//!     http_suite::Server,
//!     user_suite::{Adapter, MAYBE, ME, NOBODY, TWICE},
//! };
//!
//! struct Axum;
//!
//! impl Adapter for Axum {
//!     async fn serve(proofs: ProofVerifier) -> Server {
//!         let me = async |user: BondifyUser| user.id().to_string();
//!         let maybe = async |user: Option<BondifyUser>| {
//!             user.map_or(NOBODY.to_owned(), |user| user.id().to_string())
//!         };
//!         let twice = async |user: BondifyUser, _again: BondifyUser| user.id().to_string();
//!         let app = Router::new().route(ME, get(me)).route(MAYBE, get(maybe));
//!         let app = app.route(TWICE, get(twice)).with_state(proofs);
//!         let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
//!         let address = listener.local_addr().unwrap();
//!         Server::new(address, async { axum::serve(listener, app).await.unwrap() })
//!     }
//! }
//!
//! # fn main() {}
//! bondify_testkit::user_suite!(Axum);
//! ```

#[doc(hidden)]
pub mod cases;

use bondify_core::ProofVerifier;

use crate::http_suite::Server;

/// The path that requires a user and answers the user's Telegram id.
pub const ME: &str = "/me";

/// The path that takes an optional user and answers the user's Telegram id, or [`NOBODY`].
pub const MAYBE: &str = "/maybe";

/// The path that requires a user twice, by a middleware and the handler or by two extractors, and
/// answers the user's Telegram id.
pub const TWICE: &str = "/twice";

/// The answer of [`MAYBE`] without a user.
pub const NOBODY: &str = "nobody";

/// Starts servers of one framework.
pub trait Adapter {
    /// Serves `GET` of [`ME`], [`MAYBE`] and [`TWICE`] on an ephemeral loopback port, with users
    /// verified by `proofs`.
    fn serve(proofs: ProofVerifier) -> impl Future<Output = Server> + Send;

    /// Whether the framework passes on headers that are not UTF-8. Otherwise the suite sends none.
    const PASSES_ALL_BYTES: bool = true;
}

/// Expands to one `#[tokio::test]` per case of the
/// [contract suite for users](mod@crate::user_suite) for an
/// [`Adapter`](crate::user_suite::Adapter). Your crate needs `tokio` with the features `macros` and
/// `rt-multi-thread`.
#[macro_export]
macro_rules! user_suite {
    ($adapter:ty) => {
        $crate::user_suite! { $adapter:
            a_proof_in_the_authorization_header_is_accepted
            a_proof_in_the_cookie_is_accepted
            cookies_of_other_applications_change_nothing
            cookies_with_similar_names_are_ignored
            the_authorization_header_comes_before_the_cookie
            the_cookie_is_read_if_authorization_has_another_scheme
            the_cookie_has_the_name_that_was_set
            no_proof_is_refused
            a_malformed_proof_is_refused
            a_proof_signed_by_another_is_refused
            a_proof_that_lacks_a_claim_is_refused
            an_expired_proof_is_refused
            a_proof_of_another_project_is_refused
            secrets_of_proofs_rotate_while_running
            a_proof_of_single_use_is_used_once
            one_of_concurrent_uses_is_accepted
            two_extractors_in_one_request_use_a_proof_once
            no_proof_is_accepted_while_the_store_is_unavailable
        }
    };
    ($adapter:ty: $($case:ident)*) => {$(
        #[::tokio::test(flavor = "multi_thread")]
        async fn $case() {
            $crate::within_a_minute($crate::user_suite::cases::$case::<$adapter>()).await;
        }
    )*};
}
