//! The events of all measurements.

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use bondify_core::Secret;
use bytes::Bytes;

pub(crate) const SECRET: &str = "whsec_5f2b0c9d8e7a6b5c4d3e2f1a0b9c8d7e";

/// The approximate size of Bondify's events, in bytes.
pub(crate) const USUAL_SIZE: usize = 200;

pub(crate) fn secret() -> Secret {
    static KEYED: LazyLock<Secret> = LazyLock::new(|| Secret::new(SECRET).expect("a secret"));
    KEYED.clone()
}

/// A confirmed event of the session `number`, just now, padded to `size` bytes with an unknown
/// field, or with a longer session token if the field would not fit.
pub(crate) fn body(size: usize, number: u64) -> Bytes {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let with = |token: &str, rest: &str| {
        format!(
            r#"{{"event":"auth.confirmed","session_token":"sess_{token}","telegram_id":"123456789","telegram_name":"Ada Lovelace","telegram_username":"ada","confirmed_at":{now}{rest}}}"#
        )
    };
    let token = |digits: usize| format!("{number:0digits$x}");
    let minimum = with(&token(16), "").len();
    let body = match size.saturating_sub(minimum) {
        missing @ 0..=16 => with(&token(16 + missing), ""),
        missing => {
            let field = r#","x":"""#.len();
            with(&token(16), &format!(r#","x":"{}""#, "x".repeat(missing - field)))
        }
    };
    body.into()
}

/// The value of a body's signature header.
pub(crate) fn signature(body: &[u8]) -> String {
    secret().sign(body).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_body_has_the_requested_size_and_its_own_session() {
        for size in [USUAL_SIZE, 16 * 1024, 256 * 1024] {
            assert_eq!(body(size, 7).len(), size);
        }
        assert_ne!(body(USUAL_SIZE, 7), body(USUAL_SIZE, 8));
    }
}
