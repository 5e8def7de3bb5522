use std::{env, fmt, mem::ManuallyDrop, str, sync::Arc};

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
use crate::event::SecretName;

/// A project's webhook secret, the key that Bondify signs deliveries with.
///
/// The key is the whole string of the dashboard, with its prefix `whsec_`. It is not decoded. The key
/// schedule is computed once, clones share it, and it is zeroized when the last clone is dropped. `Debug`
/// shows no byte of it.
///
/// Several secrets in one [`Bondify`](crate::Bondify) or [`Verifier`](crate::Verifier) mean one
/// project whose secret is being rotated: each of them signs for all of its users. Another
/// project needs a `Bondify` of its own.
///
/// ```
/// use bondify_core::Secret;
///
/// let secret = Secret::new("whsec_5f2b0c9d8e7a6b5c")?;
/// let signature = secret.sign(b"{}");
/// assert!(secret.verifies(b"{}", &signature));
/// assert_eq!(format!("{secret:?}"), "Secret([redacted])");
/// # Ok::<(), bondify_core::SecretError>(())
/// ```
#[derive(Clone)]
pub struct Secret {
    key: Arc<Hmac>,
    pub(super) name: SecretName,
}

type Hmac = HmacCore<Sha256>;

impl Secret {
    /// Creates a secret from the text that the dashboard shows.
    ///
    /// # Errors
    ///
    /// A secret that was changed on its way from the dashboard would match no signature, so it is refused:
    ///
    /// - [`SecretError::Empty`] if it is empty or only whitespace.
    /// - [`SecretError::Padded`] if whitespace surrounds it, often the line end of the file that it was read
    ///   from.
    /// - [`SecretError::Invisible`] if it contains an invisible character, such as a byte order mark, a
    ///   zero-width space, or the NUL characters of UTF-16.
    /// - [`SecretError::NotUtf8`] if it is not text in UTF-8.
    ///
    /// A secret in quotes and one that begins with `sk_`, as an API's secret key does, are accepted. The log has
    /// a warning.
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
        let text = str::from_utf8(secret).map_err(|_| SecretError::NotUtf8)?;
        let trimmed = text.trim().len();
        if trimmed == 0 {
            return Err(SecretError::Empty);
        }
        if trimmed != text.len() {
            return Err(SecretError::Padded);
        }
        if let Some(invisible) = text.chars().find(|&character| is_invisible(character)) {
            return Err(SecretError::Invisible(invisible));
        }
        #[cfg(feature = "pipeline")]
        if let Some(mistake) = likely_mistake(text) {
            tracing::warn!("the webhook secret may be wrong: {mistake}");
        }
        Ok(Self::unchecked(secret))
    }

    /// Creates a secret from any bytes, for tools that imitate senders other than Bondify. Use
    /// [`new`](Self::new) for a webhook secret, which it checks.
    ///
    /// ```
    /// use bondify_core::Secret;
    ///
    /// // A sender that signs with the decoded key. Bondify signs with the text itself.
    /// let decoded = Secret::unchecked([0xde, 0xad, 0xbe, 0xef]);
    /// let signature = decoded.sign(b"{}");
    /// assert!(!Secret::new("whsec_3q2+7w==")?.verifies(b"{}", &signature));
    /// # Ok::<(), bondify_core::SecretError>(())
    /// ```
    pub fn unchecked(key: impl AsRef<[u8]>) -> Self {
        let keyed = Hmac::new_from_slice(key.as_ref()).expect("HMAC takes a key of any length");
        Self { key: Arc::new(keyed), name: None }
    }

    /// Names the secret, so that [`Event::signed_by`](crate::Event::signed_by), the span and the
    /// metrics say which secret signed a delivery. After a rotation they show when the last
    /// delivery with the old secret arrived.
    ///
    /// A name is not secret: logs and metrics contain it. A date is a good name.
    ///
    /// ```
    /// use bondify_core::Secret;
    ///
    /// let secret = Secret::new("whsec_5f2b0c9d8e7a6b5c")?.named("2026-11");
    /// assert_eq!(secret.name(), Some("2026-11"));
    /// # Ok::<(), bondify_core::SecretError>(())
    /// ```
    #[must_use]
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The secret's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Reads the secret from the environment variable `name`, by convention
    /// `BONDIFY_WEBHOOK_SECRET`.
    ///
    /// ```
    /// use bondify_core::{Secret, SecretError};
    ///
    /// let error = Secret::from_env("NO_SUCH_VARIABLE").unwrap_err();
    /// assert!(matches!(error, SecretError::Unset(name) if &*name == "NO_SUCH_VARIABLE"));
    /// ```
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
    ///
    /// ```
    /// use bondify_core::{SIGNATURE_HEADER, Secret};
    ///
    /// let signature = Secret::new("whsec_5f2b0c9d8e7a6b5c")?.sign(b"{}");
    /// let header = format!("{SIGNATURE_HEADER}: {signature}");
    /// assert_eq!(header.len(), "x-bondify-signature: ".len() + 64); // hexadecimal digits
    /// # Ok::<(), bondify_core::SecretError>(())
    /// ```
    pub fn sign(&self, body: &[u8]) -> Signature {
        Signature(self.mac(body).into_bytes().into())
    }

    /// Returns `true` if this secret made `signature` for `body`. It compares in constant time.
    ///
    /// ```
    /// use bondify_core::{MalformedSignature, Secret, Signature};
    ///
    /// /// Whether the value of the header `X-Bondify-Signature` fits the raw bytes of the body.
    /// fn is_authentic(secret: &Secret, header: &str, body: &[u8]) -> Result<bool, MalformedSignature> {
    ///     Ok(secret.verifies(body, &Signature::parse(header.as_bytes())?))
    /// }
    /// ```
    #[inline]
    #[must_use]
    pub fn verifies(&self, body: &[u8], signature: &Signature) -> bool {
        self.mac(body) == CtOutput::new(signature.0.into())
    }

    /// Computes the signature block by block, without a buffer, since the whole body is in memory. That and
    /// skipping two zeroizings save a tenth of the time of a signature check and parse.
    fn mac(&self, body: &[u8]) -> CtOutput<Hmac> {
        // `ManuallyDrop` skips zeroizing, which neither needs: hashes overwrite the copy of the key
        // schedule, and the buffer contains no part of the key.
        let mut mac = ManuallyDrop::new(Hmac::clone(&self.key));
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
        match &self.name {
            Some(name) => write!(f, "Secret({name:?}, [redacted])"),
            None => f.write_str("Secret([redacted])"),
        }
    }
}

/// Returns `true` if the character is a control character or is displayed as nothing. Spaces count as
/// visible.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Soft hyphen, zero-width characters, directions, joiners, variation selectors, byte order mark, tags.
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// The probable fault of a text that may nevertheless be the secret.
#[cfg(feature = "pipeline")]
fn likely_mistake(secret: &str) -> Option<&'static str> {
    let is_quoted = |quote| secret.starts_with(quote) && secret.ends_with(quote);
    if is_quoted('"') || is_quoted('\'') {
        Some("it has quotes around it: remove them")
    } else if secret.starts_with("sk_") {
        Some(
            "it begins with `sk_`, as the project's secret key does: the webhook secret begins with `whsec_`",
        )
    } else {
        None
    }
}

/// A string that cannot be a webhook secret.
///
/// ```
/// use bondify_core::{Secret, SecretError};
///
/// let error = Secret::new("whsec_5f2b0c9d ").unwrap_err();
/// assert_eq!(error, SecretError::Padded);
/// println!("{error}"); // says what to change
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The secret is empty or only whitespace.
    #[error("the webhook secret is empty; copy it from the dashboard")]
    Empty,
    /// Whitespace surrounds the secret.
    #[error("the webhook secret has whitespace around it; copy it without line end or spaces")]
    Padded,
    /// The secret contains an invisible character, which no secret in the dashboard has.
    #[error(
        "the webhook secret contains the invisible character U+{:04X}; copy it again, or save \
         it as UTF-8 without a byte order mark",
        u32::from(*.0)
    )]
    Invisible(char),
    /// The secret is not text in UTF-8: it is in another encoding, such as UTF-16.
    #[error("the webhook secret is not in UTF-8; save it as UTF-8 without a byte order mark")]
    NotUtf8,
    /// The environment variable does not exist.
    #[error("the environment variable {0} is not set; set it to the project's webhook secret")]
    Unset(String),
    /// The environment variable is not valid Unicode.
    #[error(
        "the environment variable {0} is not valid Unicode; set it to the secret as plain text"
    )]
    NotUnicode(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_empty_and_padded_secrets() {
        for empty in ["", " ", "\r\n\t"] {
            assert_eq!(Secret::new(empty).unwrap_err(), SecretError::Empty);
        }
        for padded in ["whsec_a\n", " whsec_a", "whsec_a\u{a0}"] {
            assert_eq!(Secret::new(padded).unwrap_err(), SecretError::Padded);
        }
    }

    #[test]
    fn refuses_and_names_an_invisible_character() {
        for (character, name) in [
            ('\0', "U+0000"),
            ('\t', "U+0009"),
            ('\n', "U+000A"),
            ('\u{1b}', "U+001B"),
            ('\u{7f}', "U+007F"),
            ('\u{9b}', "U+009B"),
            ('\u{ad}', "U+00AD"),
            ('\u{200b}', "U+200B"),
            ('\u{200d}', "U+200D"),
            ('\u{200f}', "U+200F"),
            ('\u{202e}', "U+202E"),
            ('\u{2028}', "U+2028"),
            ('\u{2060}', "U+2060"),
            ('\u{2066}', "U+2066"),
            ('\u{fe0f}', "U+FE0F"),
            ('\u{feff}', "U+FEFF"),
            ('\u{e0020}', "U+E0020"),
        ] {
            let anywhere = [
                format!("whsec_{character}5f2b"),
                format!("{character}whsec_5f2b"),
                format!("whsec_5f2b{character}"),
            ];
            for secret in anywhere.iter().filter(|secret| secret.trim() == *secret) {
                let error = Secret::new(secret).unwrap_err();
                assert_eq!(error, SecretError::Invisible(character));
                let shown = error.to_string();
                assert!(shown.contains(name) && !shown.contains("5f2b"), "{shown}");
            }
        }
    }

    #[test]
    fn refuses_other_encodings_and_says_what_to_do() {
        let utf16 = |to_bytes: fn(u16) -> [u8; 2], text: &str| -> Vec<u8> {
            text.encode_utf16().flat_map(to_bytes).collect()
        };
        for text in ["whsec_5f2b", "\u{feff}whsec_5f2b", "\u{feff}whsec_5f2b\r\n"] {
            for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
                let error = Secret::new(utf16(to_bytes, text)).unwrap_err().to_string();
                assert!(error.contains("as UTF-8"), "{error}");
            }
        }
        assert_eq!(Secret::new(b"whsec_\xe9").unwrap_err(), SecretError::NotUtf8);
    }

    #[test]
    fn accepts_every_visible_character() {
        let printable: String = (' '..='~').collect();
        for secret in
            [printable.trim(), "whsec a", "ключ", "秘密", "clé", "مفتاح", "🔑", "a\u{a0}b"]
        {
            assert!(Secret::new(secret).is_ok(), "{secret:?}");
        }
    }

    #[cfg(feature = "pipeline")]
    #[test]
    fn quotes_and_the_secret_key_are_likely_mistakes() {
        for wrong in ["\"whsec_a\"", "'whsec_a'", "sk_live_a"] {
            assert!(likely_mistake(wrong).is_some(), "{wrong}");
        }
        for right in ["whsec_a", "whsec_sk_", "it's", "\"a"] {
            assert_eq!(likely_mistake(right), None, "{right}");
        }
    }

    #[test]
    fn a_name_is_shown_and_the_secret_is_not() {
        let secret = Secret::new("whsec_hush").unwrap().named("2026-11");
        assert_eq!(format!("{secret:?}"), r#"Secret("2026-11", [redacted])"#);
        assert_eq!(secret.name(), Some("2026-11"));
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

    // `Hmac` keeps the key only in two `Sha256` states.
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
