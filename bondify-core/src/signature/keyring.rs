use std::{fmt, iter, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;

use super::{digest::Signature, secret::Secret};

/// The secrets that are accepted at the moment.
pub(crate) struct Keyring(ArcSwap<Vec<Secret>>);

impl Keyring {
    pub(crate) fn new(secret: Secret) -> Self {
        Self(ArcSwap::from_pointee(vec![secret]))
    }

    /// Another keyring, with these secrets and one more.
    pub(crate) fn with(&self, secret: Secret) -> Self {
        let mut secrets = Vec::clone(&self.0.load());
        secrets.push(secret);
        Self(ArcSwap::from_pointee(secrets))
    }

    pub(crate) fn rotate(&self, secret: Secret, old: impl IntoIterator<Item = Secret>) {
        self.0.store(Arc::new(iter::once(secret).chain(old).collect()));
    }

    /// Whether one of them signed `bytes`.
    pub(crate) fn verifies(&self, bytes: &[u8], signature: &Signature) -> bool {
        self.0.load().iter().any(|secret| secret.verifies(bytes, signature))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.load().fmt(f)
    }
}

/// The source of the time: [`SystemTime::now`], unless a test sets another.
pub(crate) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;
