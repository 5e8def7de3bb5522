//! Signatures by the ordinary interface of the `hmac` crate, which `bondify-core` does not use.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The signing key.
pub(crate) const SECRET: &str = "whsec_5f2b0c9d8e7a6b5c4d3e2f1a";

/// The HMAC-SHA256 of `bytes` under [`SECRET`].
pub(crate) fn hmac(bytes: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do");
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

/// The same in lower-case hexadecimal digits.
pub(crate) fn hex_hmac(bytes: &[u8]) -> String {
    hmac(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
