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

use crate::{BondifyRejection, head::RocketHead, reply::write, sentinel::lacks_state};

define_bondify_user! {
    /// The request guard of the user whose proof the request carries, in `Authorization: Bearer …` or,
    /// if it is not there, in the cookie `bondify_proof`. A proof is the signed statement that polling
    /// ends with.
    ///
    /// Without an accepted proof the guard fails with 401, or with 503 if the store of used
    /// proofs cannot be reached, and a catcher responds; those of [`catchers`] respond in JSON.
    /// `Option<BondifyUser>` is `None` without an accepted proof.
    ///
    /// The [`ProofVerifier`] is in the Rocket's state: `rocket::build().manage(proofs)`. The
    /// launch is aborted if it is missing.
    ///
    /// ```
    /// use bondify_rocket::{BondifyUser, ProofVerifier};
    /// use rocket::{Build, Rocket, get, routes};
    ///
    /// #[get("/me")]
    /// fn me(user: BondifyUser) -> String {
    ///     format!("hello {}", user.name())
    /// }
    ///
    /// #[get("/")]
    /// fn home(user: Option<BondifyUser>) -> &'static str {
    ///     if user.is_some() { "welcome back" } else { "please log in" }
    /// }
    ///
    /// fn rocket(proofs: ProofVerifier) -> Rocket<Build> {
    ///     rocket::build()
    ///         .manage(proofs)
    ///         .mount("/", routes![me, home])
    ///         .register("/", bondify_rocket::catchers())
    /// }
    /// ```
    ///
    /// A handler may also take `Result<BondifyUser, BondifyRejection>`; a [`BondifyRejection`] is a
    /// responder.
    ///
    /// A proof lasts for 5 minutes. Exchange it for a session of your own, and set
    /// [`ProofVerifier::single_use`], so that it is exchanged once.
}

/// The result of the authentication of a request, which is done once.
struct Authenticated(Result<Proof, Reply>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for BondifyUser {
    type Error = BondifyRejection;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, BondifyRejection> {
        let Authenticated(result) = request.local_cache_async(authenticate(request)).await;
        match result {
            Ok(proof) => Outcome::Success(Self(proof.clone())),
            Err(reply) => Outcome::Error((Status::new(reply.status()), BondifyRejection(*reply))),
        }
    }
}

async fn authenticate(request: &Request<'_>) -> Authenticated {
    match request.rocket().state::<ProofVerifier>() {
        Some(proofs) => Authenticated(proofs.authenticate(&RocketHead(request), None).await),
        None => Authenticated(Err(misconfigured(ADVICE))),
    }
}

impl Sentinel for BondifyUser {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        lacks_state::<ProofVerifier>(rocket, ADVICE)
    }
}

const ADVICE: &str = "add `.manage(proofs)` to the Rocket";

/// Returns catchers of 401 and 503 that respond in JSON, as the other adapters do, when a request
/// has no [`BondifyUser`]: `rocket::build().register("/api", bondify_rocket::catchers())`.
///
/// A 401 from another guard is answered as if no proof was sent; another 503 has no body.
#[must_use]
pub fn catchers() -> Vec<Catcher> {
    [Reply::MissingToken, Reply::StoreUnavailable]
        .map(|reply| Catcher::new(reply.status(), answer))
        .into()
}

fn answer<'r>(status: Status, request: &'r Request<'_>) -> BoxFuture<'r, catcher::Result<'r>> {
    // A 401 from another guard is answered as if no proof was sent.
    let Authenticated(result) = request.local_cache(|| Authenticated(Err(Reply::MissingToken)));
    let mut response = Response::build().status(status).finalize();
    match result {
        Err(reply) if reply.status() == status.code => write(*reply, &mut response),
        _ => {}
    }
    Box::pin(async { Ok(response) })
}
