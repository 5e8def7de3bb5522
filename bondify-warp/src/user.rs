use std::convert::Infallible;

use bondify_core::{ProofVerifier, adapter::define_bondify_user};
use warp::{Filter, http::HeaderMap};

use crate::BondifyRejection;

define_bondify_user! {
    /// The user whose proof the request carries. [`user`] extracts it, with an example.
}

/// Extracts the user whose proof the request carries, in `Authorization: Bearer …` or, if it is not
/// there, in the cookie `bondify_proof`. A proof is the signed statement that polling ends with.
///
/// The filter extracts a `Result` and never rejects, so no later route is tried. The error is the
/// response: 401, or 503 if the store of used proofs cannot be reached. Where a user is optional, a
/// handler takes `user.ok()`.
///
/// Apply it to a route once, after all filters that may reject: it marks a proof of single
/// use as used, and the next route would refuse it. A proof lasts for 5 minutes: exchange it for a session of your
/// own, and set [`ProofVerifier::single_use`], so that it is exchanged once.
///
/// ```
/// use bondify_warp::{BondifyRejection, BondifyUser, ProofVerifier, user};
/// use warp::Filter;
///
/// async fn me(user: Result<BondifyUser, BondifyRejection>) -> Result<String, BondifyRejection> {
///     Ok(format!("user {}", user?.id()))
/// }
///
/// fn routes(
///     proofs: &ProofVerifier,
/// ) -> impl Filter<Extract: warp::Reply, Error = warp::Rejection> {
///     warp::path!("me").and(warp::get()).and(user(proofs)).then(me)
/// }
/// ```
pub fn user(
    proofs: &ProofVerifier,
) -> impl Filter<Extract = (Result<BondifyUser, BondifyRejection>,), Error = Infallible>
+ Clone
+ Send
+ Sync
+ use<> {
    let proofs = proofs.clone();
    warp::header::headers_cloned().then(move |headers: HeaderMap| {
        let authenticated = proofs.authenticate(&headers, None);
        async move { authenticated.await.map(BondifyUser).map_err(BondifyRejection) }
    })
}
