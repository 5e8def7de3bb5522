use std::fmt;

use bondify_core::{Secret, SecretError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::random;

/// A project's webhook secret: the key, and the text that the dashboard shows.
///
/// `Debug` and serialisation show a preview only. Both copies are zeroized on drop.
#[derive(Clone)]
pub(crate) struct WebhookSecret {
    text: Zeroizing<String>,
    key: Secret,
}

impl WebhookSecret {
    pub(crate) fn new(text: impl Into<String>) -> Result<Self, SecretError> {
        let text = Zeroizing::new(text.into());
        Ok(Self { key: Secret::new(&*text)?, text })
    }

    pub(crate) fn random() -> Self {
        let text = random::id(&random::id("whsec_"));
        Self::new(text).expect("is neither empty nor padded")
    }

    pub(crate) fn key(&self) -> &Secret {
        &self.key
    }

    /// The secret itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.text
    }

    /// A part of the secret, by which people recognise it: at most the prefix and the last four
    /// characters.
    pub(crate) fn preview(&self) -> String {
        let prefix = if self.text.starts_with("whsec_") { "whsec_" } else { "" };
        let count = self.text.chars().count();
        let shown = if count >= 24 { 4 } else { 0 };
        prefix.chars().chain(['…']).chain(self.text.chars().skip(count - shown)).collect()
    }
}

impl Serialize for WebhookSecret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.preview())
    }
}

impl<'de> Deserialize<'de> for WebhookSecret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_shows_at_most_four_characters() {
        let preview = |text: &str| WebhookSecret::new(text).unwrap().preview();
        assert_eq!(preview("whsec_0123456789abcdef0123"), "whsec_…0123");
        assert_eq!(preview("whsec_test"), "whsec_…");
        assert_eq!(preview("sk_live_0123456789abcdef"), "…cdef");
        assert_eq!(format!("{:?}", WebhookSecret::random()), "WebhookSecret([redacted])");
    }

    #[test]
    fn a_random_secret_looks_like_bondifys() {
        let [one, other] = [WebhookSecret::random(), WebhookSecret::random()];
        assert!(one.reveal().starts_with("whsec_") && one.reveal().len() == 6 + 64);
        assert_ne!(one.reveal(), other.reveal());
    }
}
