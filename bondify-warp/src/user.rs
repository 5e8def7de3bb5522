use std::convert::Infallible;

use bondify_core::{ProofVerifier, adapter::define_bondify_user};
use warp::{Filter, http::HeaderMap};

use crate::Rejection;

define_bondify_user! {
    /// The user whose proof the request carries. [`user`] extracts it.
}

/// Extracts the user whose proof the request carries, in `Authorization: Bearer …` or else in a
/// cookie.
///
/// The filter extracts a `Result` and never rejects, so no later route is tried. The error is the
/// response: 401, or 503 if the store of used proofs cannot be reached. Take its `ok()` where a
/// user is optional.
///
/// Apply it to a route once, after all filters that may reject: it uses up a proof of single
/// use, which the next route would refuse.
///
/// ```
/// use bondify_warp::{BondifyUser, Rejection, ProofVerifier, user};
/// use warp::Filter;
///
/// async fn me(user: Result<BondifyUser, Rejection>) -> Result<String, Rejection> {
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
) -> impl Filter<Extract = (Result<BondifyUser, Rejection>,), Error = Infallible>
+ Clone
+ Send
+ Sync
+ use<> {
    let proofs = proofs.clone();
    warp::header::headers_cloned().then(move |headers: HeaderMap| {
        let authenticated = proofs.authenticate(&headers, None);
        async move { authenticated.await.map(BondifyUser).map_err(Rejection) }
    })
}
