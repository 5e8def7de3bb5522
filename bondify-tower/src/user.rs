use std::task::{Context, Poll};

use bondify_core::{Proof, ProofVerifier, adapter::response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::layer::take_ready;

/// Calls the inner service with requests that carry a valid proof, in `Authorization: Bearer …` or,
/// if it is not there, in the cookie `bondify_proof`. A proof is the signed statement that polling
/// ends with.
///
/// The [`Proof`] is in the request's extensions. A request without a valid proof is answered with
/// 401, or with 503 if the store of used proofs cannot be reached. With
/// [`optional`](Self::optional) it is passed on without a `Proof`. The body of the inner service's
/// responses has to be `From<Bytes>`, as for a [`BondifyLayer`](crate::BondifyLayer).
///
/// ```
/// use std::convert::Infallible;
///
/// use bondify_tower::{BondifyUserLayer, Proof, ProofVerifier};
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{Service, ServiceBuilder, service_fn};
///
/// async fn me<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
///     let name = request.extensions().get::<Proof>().map_or("nobody", |proof| proof.user().name());
///     Ok(Response::new(format!("hello {name}").into()))
/// }
///
/// fn app(proofs: &ProofVerifier) -> impl Service<Request<Full<Bytes>>> {
///     ServiceBuilder::new().layer(BondifyUserLayer::new(proofs)).service(service_fn(me))
/// }
/// ```
///
/// A proof lasts for 5 minutes. Exchange it for a session of your own, and set
/// [`ProofVerifier::single_use`], so that it is exchanged once.
#[derive(Clone, Debug)]
#[must_use]
pub struct BondifyUserLayer {
    proofs: ProofVerifier,
    optional: bool,
}

impl BondifyUserLayer {
    /// Creates a layer that verifies proofs by `proofs`.
    pub fn new(proofs: &ProofVerifier) -> Self {
        Self { proofs: proofs.clone(), optional: false }
    }

    /// Passes on every request. A request without a valid proof has no [`Proof`] in its extensions.
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

impl<S> Layer<S> for BondifyUserLayer {
    type Service = BondifyUserService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BondifyUserService { inner, layer: self.clone() }
    }
}

/// A service behind a [`BondifyUserLayer`].
#[derive(Clone, Debug)]
pub struct BondifyUserService<S> {
    inner: S,
    layer: BondifyUserLayer,
}

impl<S, In, Out> Service<Request<In>> for BondifyUserService<S>
where
    S: Service<Request<In>, Response = Response<Out>, Future: Send> + Clone + Send + 'static,
    In: Send + 'static,
    Out: From<Bytes>,
{
    type Response = Response<Out>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<In>) -> Self::Future {
        let mut inner = take_ready(&mut self.inner);
        let BondifyUserLayer { proofs, optional } = self.layer.clone();
        Box::pin(async move {
            let asked = proofs.authenticate(request.headers(), request.extensions().get());
            request.extensions_mut().insert(asked.clone());
            match asked.await {
                Ok(proof) => drop(request.extensions_mut().insert(proof)),
                // An outer layer with another verifier may have inserted one.
                Err(_) if optional => drop(request.extensions_mut().remove::<Proof>()),
                Err(reply) => return Ok(response(reply)),
            }
            inner.call(request).await
        })
    }
}
