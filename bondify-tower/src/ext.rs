use bondify_core::Projects;

use crate::BondifyLayer;

/// Attaches a [`Bondify`](bondify_core::Bondify), or [`Projects`], to tower services. Only these implement it.
///
/// ```
/// use bondify_tower::{Bondify, BondifyEvent, BondifyExt, BondifyRejection};
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{Service, ServiceBuilder, service_fn};
///
/// async fn on_event(
///     request: Request<Full<Bytes>>,
/// ) -> Result<Response<Full<Bytes>>, BondifyRejection> {
///     let event = BondifyEvent::from_extensions(request.extensions())?;
///     println!("handled {event}");
///     Ok(Response::default())
/// }
///
/// fn webhook(bondify: &Bondify) -> impl Service<Request<Full<Bytes>>> + Clone {
///     ServiceBuilder::new().layer(bondify.layer()).service(service_fn(on_event))
/// }
/// ```
pub trait BondifyExt: sealed::Sealed {
    /// The layer for one route, for `POST`. `B` is the body that the inner service takes, any type that
    /// is `From<Bytes>`. It is inferred from the service.
    fn layer<B>(&self) -> BondifyLayer<B>;
}

impl<T: Clone + Into<Projects> + sealed::Sealed> BondifyExt for T {
    fn layer<B>(&self) -> BondifyLayer<B> {
        BondifyLayer::new(self.clone())
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_core::Bondify {}
    impl Sealed for bondify_core::Projects {}
}
