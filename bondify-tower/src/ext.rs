use bondify_core::Bondify;

use crate::BondifyLayer;

/// Attaches a [`Bondify`] to tower services. Only `Bondify` implements it.
pub trait BondifyExt: sealed::Sealed {
    /// The layer for one route, for `POST`. `B` is the body that the inner service takes; it is
    /// inferred from the service.
    fn layer<B>(&self) -> BondifyLayer<B>;
}

impl BondifyExt for Bondify {
    fn layer<B>(&self) -> BondifyLayer<B> {
        BondifyLayer::new(self)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_core::Bondify {}
}
