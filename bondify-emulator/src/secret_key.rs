use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::random;

/// A project's secret key, which creating the project returns. It is not the webhook secret: it
/// signs nothing.
///
/// `Debug` and serialisation show a preview only. The text is zeroized on drop.
#[derive(Clone)]
pub(crate) struct SecretKey(Zeroizing<String>);

impl SecretKey {
    pub(crate) fn random() -> Self {
        Self(Zeroizing::new(random::id(&random::id("sk_"))))
    }

    /// The key itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The first 12 characters, as the dashboard shows them.
    pub(crate) fn preview(&self) -> String {
        self.0.chars().take(12).collect()
    }
}

impl Serialize for SecretKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.preview())
    }
}

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_the_first_twelve_characters() {
        let key = SecretKey::random();
        assert_eq!(key.reveal().len(), "sk_".len() + 64);
        assert_eq!(key.preview(), key.reveal()[..12]);
        assert_eq!(format!("{key:?}"), "SecretKey([redacted])");
    }
}
