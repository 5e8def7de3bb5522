use std::{fmt, str::FromStr};

/// The name of the header that carries a delivery's signature.
///
/// ```
/// use bondify_core::{Event, SIGNATURE_HEADER, Verifier, VerifyError};
/// use http::HeaderMap;
///
/// fn verify(verifier: &Verifier, headers: &HeaderMap, body: String) -> Result<Event, VerifyError> {
///     let signature = headers.get(SIGNATURE_HEADER).ok_or(VerifyError::MissingSignature)?;
///     verifier.verify(body, signature)
/// }
/// ```
pub const SIGNATURE_HEADER: &str = "x-bondify-signature";

/// An HMAC-SHA256 signature, 64 hexadecimal digits on the wire.
///
/// `Display` writes it in lower case, as Bondify does. There is no `PartialEq`:
/// [`Secret::verifies`](crate::Secret::verifies) compares in constant time.
///
/// ```
/// use bondify_core::{Secret, Signature};
///
/// let secret = Secret::new("whsec_5f2b0c9d")?;
/// let header = secret.sign(b"{}").to_string();
/// let signature: Signature = header.parse()?;
/// assert!(secret.verifies(b"{}", &signature));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Signature(pub(crate) [u8; 32]);

impl Signature {
    /// Parses a header's value: exactly 64 hexadecimal digits in either case. Whitespace around them is
    /// ignored.
    ///
    /// ```
    /// use bondify_core::Signature;
    ///
    /// assert!(Signature::parse(&[b'a'; 64]).is_ok());
    /// assert!(Signature::parse(b"sha256=abc").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`MalformedSignature`] if the value has another form.
    #[inline]
    pub fn parse(value: &[u8]) -> Result<Self, MalformedSignature> {
        let digits: &[u8; 64] = value.trim_ascii().try_into().map_err(|_| MalformedSignature)?;
        const_hex::decode_to_array(digits).map(Self).map_err(|_| MalformedSignature)
    }
}

impl FromStr for Signature {
    type Err = MalformedSignature;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Self::parse(value.as_bytes())
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(const_hex::Buffer::<32>::new().format(&self.0))
    }
}

// Redacted, since a signature and its body suffice to replay a delivery.
impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature([redacted])")
    }
}

/// The error for a signature that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signature must be 64 hexadecimal digits")]
pub struct MalformedSignature;

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "00ffa1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e";

    #[test]
    fn reads_either_case_and_ignores_whitespace_around() {
        for value in [HEX.to_owned(), HEX.to_uppercase(), format!(" \t{HEX} ")] {
            assert_eq!(value.parse::<Signature>().unwrap().to_string(), HEX);
        }
    }

    #[test]
    fn refuses_every_other_form() {
        let forms = [
            String::new(),
            HEX[..62].to_owned(),
            HEX[..63].to_owned(),
            format!("{HEX}0"),
            format!("{HEX}00"),
            format!("sha256={HEX}"),
            format!("0x{HEX}"),
            format!("0x{}", &HEX[..62]),
            format!("{HEX},{HEX}"),
            format!("{} {}", &HEX[..32], &HEX[32..63]),
            HEX.replace('a', "g"),
        ];
        for value in forms {
            assert!(value.parse::<Signature>().is_err(), "{value:?}");
        }
    }
}
