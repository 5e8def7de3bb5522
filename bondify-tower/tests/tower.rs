//! Behaviour that only tower shows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use bondify_testkit::{Payload, WebhookRequest};
use bondify_tower::{Bondify, BondifyEvent, BondifyExt, BondifyRejection, Reply, Secret};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceBuilder, ServiceExt, layer::Layer, service_fn};

fn secret() -> Secret {
    Secret::new("whsec_test").unwrap()
}

fn bondify() -> Bondify {
    Bondify::builder(secret()).build().unwrap()
}

fn confirmed() -> WebhookRequest {
    Payload::confirmed().signed_with(&secret())
}

async fn on_event(
    request: Request<Full<Bytes>>,
) -> Result<Response<Full<Bytes>>, BondifyRejection> {
    let event = BondifyEvent::from_extensions(request.extensions())?;
    let body = request.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(event.raw(), &body);
    Ok(Response::new(event.to_string().into()))
}

#[tokio::test]
async fn the_layer_infers_the_body_of_the_service() {
    let service = ServiceBuilder::new().layer(bondify().layer()).service(service_fn(on_event));
    let response = service.oneshot(confirmed().to_http("/", Full::new)).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"auth.confirmed"), "{body:?}");
}

#[tokio::test]
async fn an_event_without_the_layer_is_a_misconfiguration() {
    let rejection = on_event(confirmed().to_http("/", Full::new)).await.unwrap_err();
    assert_eq!(rejection.reply(), Reply::Misconfigured);
    assert_eq!(rejection.to_string(), Reply::Misconfigured.to_string());
    let response = Response::<Full<Bytes>>::from(rejection);
    assert_eq!(response.status(), 500);
}

/// A service that may be called once it was polled ready. A clone is not ready.
#[derive(Default)]
struct OncePolled(bool);

impl Clone for OncePolled {
    fn clone(&self) -> Self {
        Self(false)
    }
}

impl Service<Request<Full<Bytes>>> for OncePolled {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0 = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        assert!(self.0, "it was polled ready");
        std::future::ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn the_service_that_was_polled_ready_is_called() {
    let mut service = bondify().layer::<Full<Bytes>>().layer(OncePolled::default());
    for _ in 0..2 {
        let request = confirmed().to_http("/", Full::<Bytes>::new);
        let ready = ServiceExt::<Request<Full<Bytes>>>::ready(&mut service).await.unwrap();
        let response = ready.call(request).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

#[cfg(feature = "proof")]
#[tokio::test]
async fn an_optional_layer_removes_the_proof_of_an_outer_layer() {
    use bondify_tower::{BondifyUserLayer, Proof, ProofVerifier};

    let outer = BondifyUserLayer::new(&ProofVerifier::new(secret()));
    let strict = ProofVerifier::new(secret()).project("proj_other");
    let inner = BondifyUserLayer::new(&strict).optional();
    let service = outer.layer(inner.layer(service_fn(async |request: Request<()>| {
        let has_proof = request.extensions().get::<Proof>().is_some();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(has_proof.to_string())))
    })));
    let token = Payload::proof().proof_signed_with(&secret());
    let request = Request::builder().header("authorization", format!("Bearer {token}"));
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "false");
}
