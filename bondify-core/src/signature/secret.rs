use std::{env, fmt, mem::ManuallyDrop, sync::Arc};

use hmac::{
    KeyInit,
    block_api::HmacCore,
    digest::{
        CtOutput, Output,
        array::Array,
        block_api::{Buffer, FixedOutputCore, UpdateCore},
    },
};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::digest::Signature;

/// A project's webhook secret, the key that Bondify signs deliveries with.
///
/// Every byte of the string in the dashboard is the key: `whsec_…` is neither
/// decoded nor stripped. The key schedule is computed once, clones share it, and it
/// is zeroized when the last of them is dropped. `Debug` prints no byte of it.
#[derive(Clone)]
pub struct Secret(Arc<Hmac>);

type Hmac = HmacCore<Sha256>;

impl Secret {
    /// Takes a secret as the dashboard shows it.
    ///
    /// # Errors
    ///
    /// [`SecretError::Empty`] if it is empty or only whitespace, and
    /// [`SecretError::Padded`] if whitespace surrounds it: nearly always the line end of
    /// the file that it was copied from. No signature would ever match.
    ///
    /// ```
    /// use bondify_core::{Secret, SecretError};
    ///
    /// assert!(Secret::new("whsec_5f2b0c9d8e7a6b5c").is_ok());
    /// assert_eq!(Secret::new("whsec_5f2b0c9d8e7a6b5c\n").unwrap_err(), SecretError::Padded);
    /// assert_eq!(Secret::new("").unwrap_err(), SecretError::Empty);
    /// ```
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, SecretError> {
        let secret = secret.as_ref();
        let trimmed = match std::str::from_utf8(secret) {
            Ok(text) => text.trim().len(),
            Err(_) => secret.trim_ascii().len(),
        };
        if trimmed == 0 {
            return Err(SecretError::Empty);
        }
        if trimmed != secret.len() {
            return Err(SecretError::Padded);
        }
        let keyed = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        Ok(Self(Arc::new(keyed)))
    }

    /// Reads the secret from the environment variable `name`, by convention
    /// `BONDIFY_WEBHOOK_SECRET`.
    ///
    /// # Errors
    ///
    /// [`SecretError::Unset`] if there is no such variable,
    /// [`SecretError::NotUnicode`] if it is not Unicode, and those of
    /// [`Secret::new`].
    pub fn from_env(name: &str) -> Result<Self, SecretError> {
        match env::var(name).map(Zeroizing::new) {
            Ok(secret) => Self::new(&*secret),
            Err(env::VarError::NotPresent) => Err(SecretError::Unset(name.into())),
            Err(env::VarError::NotUnicode(_)) => Err(SecretError::NotUnicode(name.into())),
        }
    }

    /// Signs `body` as Bondify does: HMAC-SHA256 over the raw bytes.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> Signature {
        Signature(self.mac(body).into_bytes().into())
    }

    /// Returns `true` if `signature` is this secret's for `body`. Takes constant time.
    #[inline]
    #[must_use]
    pub fn verifies(&self, body: &[u8], signature: &Signature) -> bool {
        self.mac(body) == CtOutput::new(signature.0.into())
    }

    /// Computes the signature block by block: the whole body is there, so nothing is buffered.
    fn mac(&self, body: &[u8]) -> CtOutput<Hmac> {
        // Neither needs to be zeroized: the copy of the key schedule is overwritten with hashes
        // in the end, and the buffer holds nothing of the key.
        let mut mac = ManuallyDrop::new(Hmac::clone(&self.0));
        let (blocks, rest) = Array::slice_as_chunks(body);
        mac.update_blocks(blocks);
        let mut output = Output::<Hmac>::default();
        let mut rest = ManuallyDrop::new(Buffer::<Hmac>::new(rest));
        mac.finalize_fixed_core(&mut rest, &mut output);
        CtOutput::new(output)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// A string that cannot be a webhook secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The secret is empty or only whitespace.
    #[error("the webhook secret is empty")]
    Empty,
    /// Whitespace surrounds the secret.
    #[error("the webhook secret has whitespace around it; copy it without line end or spaces")]
    Padded,
    /// The environment variable does not exist.
    #[error("the environment variable {0} is not set; it holds the project's webhook secret")]
    Unset(String),
    /// The environment variable is not valid Unicode.
    #[error("the environment variable {0} is not valid Unicode")]
    NotUnicode(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_can_never_match() {
        for empty in ["", " ", "\r\n\t"] {
            assert_eq!(Secret::new(empty).unwrap_err(), SecretError::Empty);
        }
        for padded in ["whsec_a\n", " whsec_a", "whsec_a\u{a0}"] {
            assert_eq!(Secret::new(padded).unwrap_err(), SecretError::Padded);
        }
        assert_eq!(Secret::new(b"\xff ").unwrap_err(), SecretError::Padded);
        assert!(Secret::new(b"\xff\x00").is_ok());
    }

    #[test]
    fn an_unset_variable_is_named() {
        let error = Secret::from_env("BONDIFY_TEST_NO_SUCH_VARIABLE").unwrap_err();
        assert!(error.to_string().contains("BONDIFY_TEST_NO_SUCH_VARIABLE"));
    }

    #[test]
    fn debug_prints_no_secret() {
        let secret = Secret::new("whsec_hush").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret([redacted])");
    }

    // `Hmac` is made of two `Sha256` states, which are all it keeps of the key.
    #[test]
    fn the_key_schedule_is_zeroized_on_drop() {
        fn zeroizes<T: zeroize::ZeroizeOnDrop>() {}
        zeroizes::<Sha256>();
    }

    // Made with `printf '{"event":"auth.cancelled"}' | openssl dgst -sha256 -hmac whsec_test`.
    #[test]
    fn signs_like_openssl_with_the_prefix_in_the_key() {
        let signature = Secret::new("whsec_test").unwrap().sign(br#"{"event":"auth.cancelled"}"#);
        assert_eq!(
            signature.to_string(),
            "4abd2a1e2b5e92f88fd6d64867b0870e41afc820687ef5af706ffa5946d374d7"
        );
    }
}
