use std::fmt;

use sha2::{Digest, Sha256};

/// The key of an event in a dedupe store: a digest of 128 bits of its name and its session token.
///
/// Every key has the same small size in every engine, and no session token is kept in a store or a log.
/// The key is the first half of `SHA-256(name, 0, session token)`; with a namespace, of
/// `SHA-256(namespace, 0, that half)`. The key of an event without a session token is a digest of its
/// name and its whole body. `{:.8}` writes the first eight of its 32 hexadecimal digits, which suffice to find
/// the lines of one session in a log.
///
/// ```
/// use bondify_core::EventKey;
///
/// let key = EventKey::new("auth.confirmed", "sess_1");
/// assert_ne!(key, EventKey::new("auth.cancelled", "sess_1"));
/// assert_ne!(key, key.within("proj_shop")); // each project of a store has its own
/// assert_eq!(key, EventKey::from_bytes(*key.as_bytes()));
/// println!("the session {key:.8}");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey([u8; 16]);

impl EventKey {
    /// The key of the event `name` of the session `session_token`. [`Event::key`](crate::Event::key)
    /// returns the key of an event.
    pub fn new(name: &str, session_token: impl AsRef<[u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in [name.as_bytes(), &[0], session_token.as_ref()] {
            hash.update(part);
        }
        let mut half = [0; 16];
        half.copy_from_slice(&hash.finalize()[..16]);
        Self(half)
    }

    /// The key of the same event within `namespace`, for several projects that share a store.
    ///
    /// ```
    /// use bondify_core::EventKey;
    ///
    /// let key = EventKey::new("auth.confirmed", "sess_1");
    /// assert_ne!(key.within("proj_shop"), key.within("proj_blog"));
    /// ```
    pub fn within(&self, namespace: &str) -> Self {
        Self::new(namespace, self.0)
    }

    /// The key with these [bytes](Self::as_bytes), for engines that send them back.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key's bytes, for engines that store them as they are.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(const_hex::Buffer::<16>::new().format(&self.0))
    }
}

impl fmt::Debug for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventKey({self:.8})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_name_token_and_namespace() {
        let key = EventKey::new("auth.confirmed", "sess_1");
        assert_eq!(key, EventKey::new("auth.confirmed", "sess_1"));
        assert_ne!(key, EventKey::new("auth.cancelled", "sess_1"));
        assert_ne!(key, EventKey::new("auth.confirmed", "sess_2"));
        assert_ne!(key, EventKey::new("auth.confirmeds", "ess_1"));
        assert_ne!(key, key.within("shop"));
        assert_ne!(key.within("blog"), key.within("shop"));
    }

    // Keys are stored, so they must stay the same in all releases of this crate.
    #[test]
    fn the_digest_never_changes() {
        let key = EventKey::new("auth.confirmed", "sess_abc123");
        assert_eq!(key.to_string(), "2dc02b317690404a9124f74c2e41a102");
        assert_eq!(format!("{key:.8}"), "2dc02b31");
        assert_eq!(key.within("shop").to_string(), "a05f091de0d466ba41594e0991589385");
    }
}
