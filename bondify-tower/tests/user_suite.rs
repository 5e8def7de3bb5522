//! The contract suite for users against a plain hyper server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "proof")]

use std::convert::Infallible;

use bondify_testkit::{
    http_suite::Server,
    user_suite::{Adapter, MAYBE, ME, NOBODY, TWICE},
};
use bondify_tower::{BondifyUserLayer, Proof, ProofVerifier};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, service_fn};

bondify_testkit::user_suite!(Hyper);

struct Hyper;

impl Adapter for Hyper {
    async fn serve(proofs: ProofVerifier) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Server::new(address, async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let proofs = proofs.clone();
                let service = service_fn(move |request| dispatch(proofs.clone(), request));
                tokio::spawn(async move {
                    let connection = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
                    let _hung_up_by_client = connection.await;
                });
            }
        })
    }
}

async fn dispatch(
    proofs: ProofVerifier,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let users_only = BondifyUserLayer::new(&proofs);
    let service = service_fn(whoami);
    match request.uri().path() {
        ME => boxed(users_only.layer(service).oneshot(request).await),
        MAYBE => boxed(users_only.optional().layer(service).oneshot(request).await),
        TWICE => boxed(users_only.layer(users_only.layer(service)).oneshot(request).await),
        other => panic!("{other} is no path of the suite"),
    }
}

async fn whoami(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let user = request.extensions().get::<Proof>();
    let id = user.map_or(NOBODY, |user| user.telegram_id().as_str());
    Ok(Response::new(id.to_owned().into()))
}

fn boxed<B>(
    answer: Result<Response<B>, Infallible>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible>
where
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
{
    answer.map(|response| response.map(BodyExt::boxed))
}

#[tokio::test]
async fn a_guest_of_the_inner_layer_is_nobody_of_the_outer_ones() {
    let secret = bondify_tower::Secret::new("whsec_test").unwrap();
    let outer = BondifyUserLayer::new(&ProofVerifier::new(secret.clone()));
    let strict = ProofVerifier::new(secret.clone()).project("proj_other");
    let inner = BondifyUserLayer::new(&strict).optional();
    let service = outer.layer(inner.layer(service_fn(|request: Request<()>| async move {
        let somebody = request.extensions().get::<Proof>().is_some();
        Ok::<_, Infallible>(Response::new(Full::from(somebody.to_string())))
    })));
    let token = bondify_testkit::Payload::proof().proof_signed_with(&secret);
    let request = Request::builder().header("authorization", format!("Bearer {token}"));
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "false");
}
