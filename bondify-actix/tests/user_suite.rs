//! The contract suite for users against actix-web.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "proof")]

mod serve;

use actix_web::web;
use bondify_actix::{BondifyUser, ProofVerifier};
use bondify_testkit::{
    Script,
    http_suite::Server,
    user_suite::{Adapter, MAYBE, ME, NOBODY, TWICE},
};

use serve::serve;

struct Actix;

impl Adapter for Actix {
    async fn serve(proofs: ProofVerifier) -> Server {
        serve(Script::default(), move |config| {
            let twice = async |user: BondifyUser, _: BondifyUser| me(user).await;
            config.app_data(proofs.clone());
            config.route(ME, web::get().to(me));
            config.route(MAYBE, web::get().to(maybe));
            config.route(TWICE, web::get().to(twice));
        })
    }
}

async fn me(user: BondifyUser) -> String {
    user.id().to_string()
}

async fn maybe(user: Option<BondifyUser>) -> String {
    user.map_or_else(|| NOBODY.to_owned(), |user| user.id().to_string())
}

bondify_testkit::user_suite!(Actix);

#[tokio::test]
async fn a_user_without_a_verifier_is_a_misconfiguration() {
    let server = serve(Script::default(), |config| {
        config.route(ME, web::get().to(me));
    });
    let mut connection = bondify_testkit::Connection::open(server.address()).await.unwrap();
    connection.send(b"GET /me HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let response = connection.response().await.unwrap();
    assert_eq!((response.status, response.code().as_deref()), (500, Some("MISCONFIGURED")));
}

#[tokio::test]
async fn a_verifier_may_be_shared_as_data() {
    let secret = bondify_actix::Secret::new("whsec_test").unwrap();
    let proofs = web::Data::new(ProofVerifier::new(secret.clone()));
    let server = serve(Script::default(), move |config| {
        config.app_data(proofs.clone()).route(ME, web::get().to(me));
    });
    let token = bondify_testkit::Payload::proof().telegram_id("42").proof_signed_with(&secret);
    let request = format!("GET /me HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    let mut connection = bondify_testkit::Connection::open(server.address()).await.unwrap();
    connection.send(request.as_bytes()).await.unwrap();
    assert_eq!(connection.response().await.unwrap().body, "42");
}
