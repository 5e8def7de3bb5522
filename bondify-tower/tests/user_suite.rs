//! The contract suite for users against a plain hyper server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "proof")]

mod serve;

use std::convert::Infallible;

use bondify_testkit::{
    http_suite::Server,
    user_suite::{Adapter, MAYBE, ME, NOBODY, TWICE},
};
use bondify_tower::{BondifyUserLayer, Proof, ProofVerifier};
use http::{Request, Response};
use hyper::body::Incoming;
use serve::{Answer, serve};
use tower::{Layer, ServiceExt, service_fn};

struct Hyper;

impl Adapter for Hyper {
    async fn serve(proofs: ProofVerifier) -> Server {
        serve(move |request| dispatch(proofs.clone(), request)).await
    }
}

async fn dispatch(proofs: ProofVerifier, request: Request<Incoming>) -> Answer {
    let required = BondifyUserLayer::new(&proofs);
    let optional = required.clone().optional();
    let service = service_fn(whoami);
    let Ok(answer) = match request.uri().path() {
        ME => required.layer(service).oneshot(request).await,
        MAYBE => optional.layer(service).oneshot(request).await,
        TWICE => required.layer(required.layer(service)).oneshot(request).await,
        other => panic!("{other} is no path of the suite"),
    };
    answer
}

async fn whoami(request: Request<Incoming>) -> Result<Answer, Infallible> {
    let user = request.extensions().get::<Proof>();
    let id = user.map_or(NOBODY, |proof| proof.user().id().as_str());
    Ok(Response::new(id.to_owned().into()))
}

bondify_testkit::user_suite!(Hyper);
