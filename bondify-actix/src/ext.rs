use bondify_core::Bondify;

use crate::BondifyMiddleware;

/// Attaches a [`Bondify`] to routes of an actix-web application. Only `Bondify` implements it.
pub trait BondifyExt: sealed::Sealed {
    /// The middleware for a resource, for a scope that contains webhooks only, or for one
    /// route: `web::post().to(on_event).wrap(bondify.middleware())`.
    fn middleware(&self) -> BondifyMiddleware;
}

impl BondifyExt for Bondify {
    fn middleware(&self) -> BondifyMiddleware {
        BondifyMiddleware::new(self)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_core::Bondify {}
}
