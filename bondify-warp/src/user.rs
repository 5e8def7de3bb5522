use std::convert::Infallible;

use bondify_core::{ProofVerifier, Reply, adapter::define_bondify_user};
use warp::{Filter, http::HeaderMap, reply::Response};

use crate::hook::respond;

define_bondify_user! {
    /// The user whose proof a request carries; extracted by [`user`].
}

/// The filter that extracts the user whose proof a request carries, in
/// `Authorization: Bearer …` or else in a cookie.
///
/// It never rejects, so that no later route is tried: the handler gets a `Result`, whose
/// error is the answer, 401, or 503 while the store of used proofs is away. For guests, take
/// its `ok()`.
///
/// Apply it once to a route, after every filter that may reject: it uses a proof of single use
/// up, and the next route would find it used.
///
/// ```
/// use bondify_warp::{BondifyUser, Denied, ProofVerifier, user};
/// use warp::Filter;
///
/// async fn me(user: Result<BondifyUser, Denied>) -> Result<String, Denied> {
///     Ok(format!("user {}", user?.telegram_id()))
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
) -> impl Filter<Extract = (Result<BondifyUser, Denied>,), Error = Infallible>
+ Clone
+ Send
+ Sync
+ use<> {
    let proofs = proofs.clone();
    warp::header::headers_cloned().then(move |headers: HeaderMap| {
        let authenticated = proofs.authenticate(&headers, None);
        async move { authenticated.await.map(BondifyUser).map_err(Denied) }
    })
}

/// The answer to a request without a user: 401, unless something else is amiss.
#[derive(Clone, Copy, Debug)]
pub struct Denied(Reply);

impl warp::Reply for Denied {
    fn into_response(self) -> Response {
        respond(self.0)
    }
}
