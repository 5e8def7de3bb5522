use std::fmt;

use bondify_core::{Secret, SecretError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::random;

/// A secret of a project, as the dashboard shows it: the webhook secret, or the secret key, which
/// signs nothing.
///
/// `Debug` shows nothing, and serialisation a preview. The text is zeroized on drop.
#[derive(Clone)]
pub(crate) struct SecretText(Zeroizing<String>);

impl SecretText {
    pub(crate) fn new(text: impl Into<String>) -> Result<Self, SecretError> {
        let text = Zeroizing::new(text.into());
        Secret::new(&*text)?;
        Ok(Self(text))
    }

    pub(crate) fn random_key() -> Self {
        Self(random::id(&random::id("sk_")).into())
    }

    pub(crate) fn random_webhook_secret() -> Self {
        Self(random::id(&random::id("whsec_")).into())
    }

    /// The secret as a key that signs.
    pub(crate) fn to_key(&self) -> Secret {
        Secret::new(&*self.0).expect("was checked when it was created")
    }

    /// The secret itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The first 12 characters, by which people recognise it. Of a secret with fewer than 24
    /// characters, the prefix only.
    pub(crate) fn preview(&self) -> String {
        match self.0.chars().count() {
            24.. => self.0.chars().take(12).collect(),
            _ if self.0.starts_with("whsec_") => "whsec_".to_owned(),
            _ => String::new(),
        }
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.preview())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_shows_less_than_half() {
        let preview = |text: &str| SecretText::new(text).unwrap().preview();
        assert_eq!(preview("whsec_0123456789abcdef01"), "whsec_012345");
        assert_eq!(preview("whsec_test"), "whsec_");
        assert_eq!(preview("test_secret"), "");
        let key = SecretText::random_key();
        assert_eq!(format!("{key:?}"), "SecretText([redacted])");
    }

    #[test]
    fn random_secrets_look_like_bondifys() {
        let [one, other] = [(); 2].map(|()| SecretText::random_webhook_secret());
        assert!(one.reveal().starts_with("whsec_") && one.reveal().len() == 6 + 64);
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(SecretText::random_key().reveal().len(), "sk_".len() + 64);
    }
}
