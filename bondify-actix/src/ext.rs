use bondify_core::Bondify;

use crate::BondifyMiddleware;

/// Attaches a [`Bondify`] to routes of an actix-web application.
pub trait BondifyExt {
    /// The middleware for `web::resource(..).wrap(..)`, for a scope of nothing but
    /// webhooks, or for a single route: `web::post().to(on_event).wrap(..)`.
    fn middleware(&self) -> BondifyMiddleware;
}

impl BondifyExt for Bondify {
    fn middleware(&self) -> BondifyMiddleware {
        BondifyMiddleware::new(self)
    }
}
