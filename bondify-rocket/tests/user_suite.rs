//! The contract suite for users against Rocket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "proof")]

mod serve;

use bondify_rocket::{BondifyRejection, BondifyUser, ProofVerifier, Reply, catchers};
use bondify_testkit::{
    Script,
    http_suite::Server,
    user_suite::{Adapter, NOBODY},
};
use rocket::{get, http::Status, local::asynchronous::Client, routes};

use serve::{rocket, serve};

struct Rocket;

impl Adapter for Rocket {
    const PASSES_ALL_BYTES: bool = false;

    async fn serve(proofs: ProofVerifier) -> Server {
        let rocket = rocket(Script::default())
            .manage(proofs)
            .mount("/", routes![me, maybe, twice])
            .register("/", catchers());
        serve(rocket).await.unwrap()
    }
}

#[get("/me")]
fn me(user: BondifyUser) -> String {
    user.id().to_string()
}

#[get("/maybe")]
fn maybe(user: Option<BondifyUser>) -> String {
    user.map_or_else(|| NOBODY.to_owned(), |user| user.id().to_string())
}

#[get("/twice")]
fn twice(user: BondifyUser, _again: BondifyUser) -> String {
    me(user)
}

bondify_testkit::user_suite!(Rocket);

#[tokio::test]
async fn a_user_without_a_verifier_aborts_the_launch() {
    let rocket = rocket(Script::default()).mount("/", routes![me]);
    assert!(serve(rocket).await.is_none());
}

#[get("/why")]
fn why(user: Result<BondifyUser, BondifyRejection>) -> Result<String, BondifyRejection> {
    Ok(user?.id().to_string())
}

#[tokio::test]
async fn a_rejection_is_a_response_of_a_handler() {
    let secret = bondify_rocket::Secret::new("whsec_test").unwrap();
    let rocket = rocket(Script::default()).manage(ProofVerifier::new(secret));
    let client = Client::tracked(rocket.mount("/", routes![why])).await.unwrap();
    let response = client.get("/why").dispatch().await;
    assert_eq!(response.status(), Status::Unauthorized);
    assert_eq!(response.into_string().await.unwrap(), Reply::MissingToken.body());
}

#[get("/private")]
fn private() -> Status {
    Status::Unauthorized
}

#[tokio::test]
async fn the_catchers_answer_for_other_guards_too() {
    let rocket = rocket(Script::default()).mount("/", routes![private]);
    let client = Client::tracked(rocket.register("/", catchers())).await.unwrap();
    let response = client.get("/private").dispatch().await;
    assert_eq!(response.status(), Status::Unauthorized);
    assert!(response.into_string().await.unwrap().contains("MISSING_TOKEN"));
}
