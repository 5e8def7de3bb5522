use std::sync::Arc;

/// The name of the secret that signed an event or a proof, if it has one.
pub(crate) type SecretName = Option<Arc<str>>;
