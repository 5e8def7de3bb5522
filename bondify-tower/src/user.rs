use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bondify_core::{Proof, ProofVerifier, adapter::response};
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::ResponseBody;

/// Lets only users reach the service within: requests that carry a proof, in
/// `Authorization: Bearer …` or else in a cookie.
///
/// The service finds the [`Proof`] in the request's extensions. Anybody else is answered 401,
/// or 503 while the store of used proofs is away, or let in [as a guest](Self::optional).
#[derive(Clone, Debug)]
pub struct BondifyUserLayer {
    proofs: ProofVerifier,
    optional: bool,
}

impl BondifyUserLayer {
    /// A layer that knows users by `proofs`.
    #[must_use]
    pub fn new(proofs: &ProofVerifier) -> Self {
        Self { proofs: proofs.clone(), optional: false }
    }

    /// Lets guests in, with no proof in the extensions: everybody whose proof is not
    /// accepted, for whatever reason.
    #[must_use]
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
{
    type Response = Response<ResponseBody<Out>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<In>) -> Self::Future {
        // The one that was polled ready is the one to call.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let BondifyUserLayer { proofs, optional } = self.layer.clone();
        Box::pin(async move {
            let asked = proofs.authenticate(request.headers(), request.extensions().get());
            request.extensions_mut().insert(asked.clone());
            match asked.await {
                Ok(proof) => drop(request.extensions_mut().insert(proof)),
                // Another verifier may have let somebody in.
                Err(_) if optional => drop(request.extensions_mut().remove::<Proof>()),
                Err(reply) => return Ok(response(reply).map(ResponseBody::reply)),
            }
            Ok(inner.call(request).await?.map(ResponseBody::inner))
        })
    }
}
