use bondify_core::{
    Proof, ProofVerifier, Reply,
    adapter::{define_bondify_user, misconfigured},
};
use rocket::{
    Catcher, Ignite, Request, Response, Rocket, Sentinel,
    catcher::{self, BoxFuture},
    http::Status,
    request::{FromRequest, Outcome},
};

use crate::{headers::RocketHeaders, mount::write};

define_bondify_user! {
    /// The request guard of the user whose proof a request carries, in
    /// `Authorization: Bearer …` or else in a cookie.
    ///
    /// Anybody else is an error, 401, or 503 while the store of used proofs is away, for the catchers; [`catchers`] has some that answer in
    /// JSON. `Option<BondifyUser>` lets guests in, as whom it counts everybody whose proof is
    /// not accepted, for whatever reason.
    ///
    /// The [`ProofVerifier`] is in the Rocket's state, `rocket::build().manage(proofs)`. If
    /// it is not, the launch is aborted.
}

/// What is known of a request's user, asked for once a request.
struct Known(Result<Proof, Reply>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for BondifyUser {
    type Error = Reply;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Reply> {
        let Known(known) = request.local_cache_async(authenticate(request)).await;
        match known {
            Ok(proof) => Outcome::Success(Self(proof.clone())),
            Err(reply) => Outcome::Error((Status::new(reply.status()), *reply)),
        }
    }
}

async fn authenticate(request: &Request<'_>) -> Known {
    match request.rocket().state::<ProofVerifier>() {
        Some(proofs) => Known(proofs.authenticate(&RocketHeaders(request), None).await),
        None => Known(Err(misconfigured(ADVICE))),
    }
}

impl Sentinel for BondifyUser {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let forgotten = rocket.state::<ProofVerifier>().is_none();
        if forgotten {
            let _logged = misconfigured(ADVICE);
        }
        forgotten
    }
}

const ADVICE: &str = "add `.manage(proofs)` to the Rocket";

/// Catchers that say in JSON why a request has no [`BondifyUser`], as the other adapters do,
/// for the part of an application where that is wanted:
/// `rocket::build().register("/api", bondify_rocket::catchers())`. What else is answered with 401
/// or 503 there has no body then.
#[must_use]
pub fn catchers() -> Vec<Catcher> {
    [Reply::MissingToken, Reply::StoreUnavailable]
        .map(|reply| Catcher::new(reply.status(), answer))
        .into()
}

fn answer<'r>(status: Status, request: &'r Request<'_>) -> BoxFuture<'r, catcher::Result<'r>> {
    // Of a 401 by another guard no more is known than that there is no user.
    let Known(known) = request.local_cache(|| Known(Err(Reply::MissingToken)));
    let mut response = Response::build().status(status).finalize();
    if let Err(reply) = known
        && reply.status() == status.code
    {
        write(*reply, &mut response);
    }
    Box::pin(async { Ok(response) })
}
