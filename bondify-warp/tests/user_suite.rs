//! The contract suite for users against warp.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "proof")]

mod serve;

use bondify_testkit::{
    http_suite::Server,
    user_suite::{Adapter, NOBODY},
};
use bondify_warp::{BondifyRejection, BondifyUser, ProofVerifier, user};
use warp::Filter;

use serve::serve;

struct Warp;

impl Adapter for Warp {
    async fn serve(proofs: ProofVerifier) -> Server {
        let get = |path| warp::path(path).and(warp::path::end()).and(warp::get());
        let me = get("me").and(user(&proofs)).then(me);
        let maybe = get("maybe").and(user(&proofs)).then(maybe);
        // A later filter asks for the user by taking the first filter's value.
        let twice = get("twice").and(user(&proofs)).map(|user| user).then(self::me);
        serve(me.or(maybe).or(twice)).await
    }
}

async fn me(user: Result<BondifyUser, BondifyRejection>) -> Result<String, BondifyRejection> {
    Ok(user?.id().to_string())
}

async fn maybe(user: Result<BondifyUser, BondifyRejection>) -> String {
    user.map_or_else(|_| NOBODY.to_owned(), |user| user.id().to_string())
}

bondify_testkit::user_suite!(Warp);
