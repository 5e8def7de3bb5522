//! The cases.

use std::sync::Arc;

use bondify_core::{MemoryStore, ProofVerifier, Reply, Secret};
use futures_util::future::join_all;
use serde_json::Value;

use super::{Adapter, MAYBE, ME, NOBODY, TWICE};
use crate::{
    Call, Payload, ProbeStore, Response, cookies,
    http_suite::{Server, get, secret},
};

const ID: &str = "7123456789";

fn proof() -> Payload {
    Payload::proof().telegram_id(ID)
}

fn token(proof: &Payload) -> String {
    proof.proof_signed_with(&secret())
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

fn cookie(token: &str) -> String {
    format!("cookie: bondify_proof={token}\r\n")
}

async fn start<A: Adapter>(configure: impl FnOnce(ProofVerifier) -> ProofVerifier) -> Server {
    A::serve(configure(ProofVerifier::new(secret()))).await
}

#[track_caller]
fn assert_accepted(response: &Response) {
    assert_eq!((response.status, &*response.body), (200, ID), "{response:?}");
}

/// Asserts the status, code and JSON format of a reply, which are the same in every framework.
#[track_caller]
fn assert_refused(response: &Response, code: &str) {
    assert_eq!((response.status, response.code().as_deref()), (401, Some(code)), "{response:?}");
    let body: Value = serde_json::from_str(&response.body).expect("the body is JSON");
    assert_eq!(body["error"], "Unauthorized", "{response:?}");
    assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{response:?}");
    assert!(response.is_json(), "{response:?}");
    let challenge = response.header("www-authenticate");
    assert!(challenge.is_some_and(|it| it.starts_with("Bearer")), "{response:?}");
}

/// Asserts that `headers` are refused where a user is required, and are no user where one is optional.
async fn refuses(server: &Server, headers: impl AsRef<[u8]>, code: &str) {
    let headers = headers.as_ref();
    assert_refused(&get(server, ME, headers).await, code);
    let optional = get(server, MAYBE, headers).await;
    assert_eq!((optional.status, &*optional.body), (200, NOBODY));
}

/// The scheme is `Bearer`, in any case.
pub async fn a_proof_in_the_authorization_header_is_accepted<A: Adapter>() {
    let server = start::<A>(|proofs| proofs).await;
    let token = token(&proof());
    assert_accepted(&get(&server, ME, &bearer(&token)).await);
    assert_accepted(&get(&server, MAYBE, &bearer(&token)).await);
    assert_accepted(&get(&server, ME, &format!("AUTHORIZATION: bearer  {token}\r\n")).await);
}

/// The cookie may be quoted, and other cookies may come with it.
pub async fn a_proof_in_the_cookie_is_accepted<A: Adapter>() {
    let server = start::<A>(|proofs| proofs).await;
    let token = token(&proof());
    assert_accepted(&get(&server, ME, &cookie(&token)).await);
    let among_others = format!("cookie: xbondify_proof=2; bondify_proof={token}; a=1\r\n");
    assert_accepted(&get(&server, ME, &among_others).await);
    let in_another_line = format!("cookie: a=1\r\ncookie: bondify_proof=\"{token}\"\r\n");
    assert_accepted(&get(&server, ME, &in_another_line).await);
}

/// The cookie is ignored if there is a bearer token.
pub async fn the_authorization_header_comes_before_the_cookie<A: Adapter>() {
    let server = start::<A>(|proofs| proofs).await;
    let other = token(&proof().telegram_id("1"));
    let both = bearer(&token(&proof())) + &cookie(&other);
    assert_accepted(&get(&server, ME, &both).await);
    refuses(&server, &(bearer("forged") + &cookie(&token(&proof()))), "INVALID_TOKEN").await;
}

/// A header of another scheme is ignored.
pub async fn the_cookie_is_read_if_authorization_has_another_scheme<A: Adapter>() {
    let server = start::<A>(|proofs| proofs).await;
    let basic = "authorization: Basic YWRhOmxvdmVsYWNl\r\n";
    assert_accepted(&get(&server, ME, &(basic.to_owned() + &cookie(&token(&proof())))).await);
    refuses(&server, basic, "MISSING_TOKEN").await;
}

/// A cookie of another application changes nothing, also if it is not UTF-8.
pub async fn cookies_of_other_applications_change_nothing<A: Adapter>() {
    let server = start::<A>(|proofs| proofs).await;
    let ours = format!("bondify_proof={}", token(&proof()));
    let ours = ours.as_bytes();
    let mut foreign = cookies::foreign();
    foreign.retain(|cookie| A::PASSES_ALL_BYTES || std::str::from_utf8(cookie).is_ok());
    for foreign in foreign.iter().map(Vec::as_slice) {
        let line = [b"cookie: ", foreign, b"; ", ours, b";", foreign, b"\r\n"].concat();
        assert_accepted(&get(&server, ME, line).await);
        let lines = [b"cookie: ", foreign, b"\r\ncookie: ", ours, b"\r\n"].concat();
        assert_accepted(&get(&server, ME, lines).await);
        refuses(&server, [b"cookie: ", foreign, b"\r\n"].concat(), "MISSING_TOKEN").await;
    }
}

/// A cookie whose name only looks like the right one is ignored.
pub async fn cookies_with_similar_names_are_ignored<A: Adapter>() {
    const NAME: &str = "__Host-proof_1";
    let server = start::<A>(|proofs| proofs.cookie(NAME)).await;
    let ours = format!("{NAME}={}", token(&proof()));
    let planted = token(&proof().telegram_id("666"));
    for similar in cookies::lookalikes(NAME, &planted) {
        refuses(&server, [b"cookie: ", &*similar, b"\r\n"].concat(), "MISSING_TOKEN").await;
        let both = [b"cookie: ", &*similar, b"; ", ours.as_bytes(), b"\r\n"].concat();
        assert_accepted(&get(&server, ME, both).await);
    }
}

/// `ProofVerifier::cookie` sets the name of the cookie.
pub async fn the_cookie_has_the_name_that_was_set<A: Adapter>() {
    let server = start::<A>(|proofs| proofs.cookie("login")).await;
    let token = token(&proof());
    assert_accepted(&get(&server, ME, &format!("cookie: login={token}\r\n")).await);
    refuses(&server, &cookie(&token), "MISSING_TOKEN").await;
}

/// The code is `MISSING_TOKEN`.
pub async fn no_proof_is_refused<A: Adapter>() {
    let server = start::<A>(|proofs| proofs).await;
    for none in ["", "cookie: a=1\r\n", "cookie: bondify_proof=\r\n", "authorization: Bearer\r\n"] {
        refuses(&server, none, "MISSING_TOKEN").await;
    }
}

/// The code is `INVALID_TOKEN`.
pub async fn a_malformed_proof_is_refused<A: Adapter>() {
    let server = start::<A>(|proofs| proofs).await;
    for token in ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        refuses(&server, &bearer(token), "INVALID_TOKEN").await;
        refuses(&server, &cookie(token), "INVALID_TOKEN").await;
    }
}

/// The code is `INVALID_SIGNATURE`.
pub async fn a_proof_signed_by_another_is_refused<A: Adapter>() {
    let server = start::<A>(|proofs| proofs).await;
    let other = Secret::new("whsec_other").expect("a valid secret");
    let forged = proof().proof_signed_with(&other);
    refuses(&server, &bearer(&forged), "INVALID_SIGNATURE").await;
}

/// The code is `MISSING_FIELDS`.
pub async fn a_proof_that_lacks_a_claim_is_refused<A: Adapter>() {
    let server = start::<A>(|proofs| proofs).await;
    for claim in ["telegram_id", "telegram_name", "project_id", "session_token", "iat", "exp"] {
        let token = token(&proof().without(claim));
        refuses(&server, &bearer(&token), "MISSING_FIELDS").await;
    }
}

/// The code is `TOKEN_EXPIRED`.
pub async fn an_expired_proof_is_refused<A: Adapter>() {
    let server = start::<A>(|proofs| proofs).await;
    let token = token(&proof().field("exp", 1_700_000_300));
    refuses(&server, &bearer(&token), "TOKEN_EXPIRED").await;
}

/// The code is `WRONG_PROJECT`.
pub async fn a_proof_of_another_project_is_refused<A: Adapter>() {
    let server = start::<A>(|proofs| proofs.project("proj_1")).await;
    refuses(&server, &bearer(&token(&proof())), "WRONG_PROJECT").await;
    let token = token(&proof().field("project_id", "proj_1"));
    assert_accepted(&get(&server, ME, &bearer(&token)).await);
}

/// A proof is accepted as soon as its secret is accepted.
pub async fn secrets_of_proofs_rotate_while_running<A: Adapter>() {
    let proofs = ProofVerifier::new(secret());
    let server = A::serve(proofs.clone()).await;
    let new = Secret::new("whsec_new").expect("a valid secret");
    let token = proof().proof_signed_with(&new);
    refuses(&server, &bearer(&token), "INVALID_SIGNATURE").await;
    proofs.rotate(new, []);
    assert_accepted(&get(&server, ME, &bearer(&token)).await);
}

/// The code of the second use is `TOKEN_USED`.
pub async fn a_proof_of_single_use_is_used_once<A: Adapter>() {
    let server = start::<A>(|proofs| proofs.single_use(MemoryStore::new())).await;
    let first = token(&proof());
    assert_accepted(&get(&server, ME, &bearer(&first)).await);
    refuses(&server, &bearer(&first), "TOKEN_USED").await;
    let second = token(&proof());
    assert_accepted(&get(&server, MAYBE, &bearer(&second)).await);
    assert_refused(&get(&server, ME, &bearer(&second)).await, "TOKEN_USED");
}

/// One of several concurrent requests is accepted.
pub async fn one_of_concurrent_uses_is_accepted<A: Adapter>() {
    let server = start::<A>(|proofs| proofs.single_use(MemoryStore::new())).await;
    let headers = bearer(&token(&proof()));
    let responses = join_all((0..20).map(|_| get(&server, ME, &headers))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) =
        responses.iter().partition(|response| response.status == 200);
    assert_eq!(accepted.len(), 1, "{responses:?}");
    refused.into_iter().for_each(|response| assert_refused(response, "TOKEN_USED"));
}

/// Two extractors, or a middleware and an extractor, mark the proof as used once.
pub async fn two_extractors_in_one_request_use_a_proof_once<A: Adapter>() {
    let store = ProbeStore::new(MemoryStore::new());
    let server = start::<A>(|proofs| proofs.single_use(store.clone())).await;
    let headers = bearer(&token(&proof()));
    // A framework may run both at the same time. The second must wait for the store's answer.
    store.hold_claims();
    let (accepted, ()) = tokio::join!(get(&server, TWICE, &headers), async {
        store.until(1, |call| matches!(call, Call::Claim(_))).await;
        store.resume_claims();
    });
    assert_accepted(&accepted);
    assert_eq!(store.calls().len(), 1);
    assert_refused(&get(&server, TWICE, &headers).await, "TOKEN_USED");
}

/// The response is 503.
pub async fn no_proof_is_accepted_while_the_store_is_unavailable<A: Adapter>() {
    let store = ProbeStore::new(Arc::new(MemoryStore::new()));
    store.set_down(true);
    let server = start::<A>(|proofs| proofs.single_use(store)).await;
    let headers = bearer(&token(&proof()));
    let response = get(&server, ME, &headers).await;
    assert_eq!((response.status, &*response.body), (503, Reply::StoreUnavailable.body()));
    assert!(response.header("retry-after").is_some(), "{response:?}");
    assert_eq!(get(&server, MAYBE, &headers).await.body, NOBODY);
}
