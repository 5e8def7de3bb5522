//! The cookies of the logins that have begun. Each login has a cookie of its own, so that several tabs of
//! a browser can sign in at the same time.

use std::{
    cmp::Reverse,
    fmt,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bondify_client::Session;
use bondify_core::{EventKey, adapter::visit_cookies};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits::{CLOCK_SKEW, MAX_LIFETIME};

/// A login that has begun, in the form of the browser's cookie.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The end of the cookie's name. It names the login in the URLs of the page.
    #[serde(skip)]
    pub(crate) id: String,
    pub(crate) session_token: String,
    pub(crate) deeplink: String,
    /// In milliseconds since 1970.
    begun_at: u64,
    /// In seconds since 1970.
    expires_at: u64,
    /// The path of the page that began the login. Only this page shows and finishes it.
    pub(crate) page: String,
    pub(crate) return_to: String,
    /// The browser that began the login.
    pub(crate) user_agent: Option<String>,
    /// Whether another tab of the browser has signed in meanwhile.
    pub(crate) is_finished: bool,
}

impl Pending {
    /// The lifetime of the session is measured by Bondify's clock.
    pub(crate) fn begin(
        session: &Session,
        page: &str,
        return_to: &str,
        user_agent: Option<String>,
        now: SystemTime,
    ) -> Option<Self> {
        let expires_at = now + session.time_left().min(MAX_LIFETIME);
        let since_1970 = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
        Some(Self {
            id: format!("{:016x}", getrandom::u64().ok()?),
            session_token: session.session_token().to_owned(),
            deeplink: session.deeplink().to_owned(),
            begun_at: u64::try_from(since_1970(now)?.as_millis()).ok()?,
            expires_at: since_1970(expires_at)?.as_secs(),
            page: page.to_owned(),
            return_to: return_to.to_owned(),
            user_agent,
            is_finished: false,
        })
    }

    /// The beginning by the clock of the instance that began the login.
    pub(crate) fn begun_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.begun_at)
    }

    /// The expiry time by the clock of the instance that began the login.
    pub(crate) fn expires_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.expires_at)
    }

    /// The key of the session in this process's memory and in wake-ups: a digest, which does not show the token.
    pub(crate) fn key(&self) -> EventKey {
        session_key(&self.session_token)
    }

    /// The time from which the login cannot be finished, even if the clocks of the instances differ.
    pub(crate) fn is_over_at(&self) -> SystemTime {
        self.expires_at() + CLOCK_SKEW
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

pub(crate) fn session_key(session_token: &str) -> EventKey {
    EventKey::new("bondify-login", session_token)
}

/// The key by which instances tell each other that the login of a session is finished.
pub(crate) fn finished_key(session: &EventKey) -> EventKey {
    session.within("finished")
}

/// Encrypts and authenticates the cookies. The value of a cookie is a random nonce and the encrypted login,
/// which is bound to the cookie's name.
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
    old_ciphers: Vec<XChaCha20Poly1305>,
    secure: bool,
}

impl Sealer {
    pub(crate) fn new(key: &[u8], old_keys: &[Vec<u8>], secure: bool) -> Self {
        let cipher = |key: &[u8]| XChaCha20Poly1305::new(&Sha256::digest(key));
        let old_ciphers = old_keys.iter().map(|key| cipher(key)).collect();
        Self { cipher: cipher(key), old_ciphers, secure }
    }

    /// The name of the cookie of a login. Browsers accept a `__Host-` cookie only from this host, so that
    /// no other host of the domain can set it.
    fn name(&self, id: &str) -> String {
        format!("{}{id}", self.prefix())
    }

    fn prefix(&self) -> &'static str {
        if self.secure { "__Host-bondify-login-" } else { "bondify-login-" }
    }

    /// The value of `Set-Cookie` with the encrypted login.
    pub(crate) fn seal(&self, login: &Pending, now: SystemTime) -> Option<HeaderValue> {
        let name = self.name(&login.id);
        let mut nonce = XNonce::default();
        getrandom::fill(&mut nonce).ok()?;
        let opened = Payload { msg: &serde_json::to_vec(login).ok()?, aad: name.as_bytes() };
        let sealed = self.cipher.encrypt(&nonce, opened).ok()?;
        let value = BASE64_URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat());
        let lifetime = login.is_over_at().duration_since(now).unwrap_or_default();
        self.cookie(name, value, i64::try_from(lifetime.as_secs()).ok()?)
    }

    /// The value of `Set-Cookie` that removes the login's cookie.
    pub(crate) fn removal(&self, login: &Pending) -> Option<HeaderValue> {
        self.cookie(self.name(&login.id), String::new(), 0)
    }

    fn cookie(&self, name: String, value: String, max_age: i64) -> Option<HeaderValue> {
        let cookie = Cookie::build((name, value))
            .http_only(true)
            .secure(self.secure)
            .same_site(SameSite::Lax)
            .path("/")
            .max_age(cookie::time::Duration::seconds(max_age));
        HeaderValue::try_from(cookie.to_string()).ok()
    }

    /// Returns the logins of the browser that sent these headers, the newest first. A cookie that this key
    /// and the old keys do not decrypt is not ours.
    pub(crate) fn open(&self, headers: &HeaderMap) -> Vec<Pending> {
        let mut opened = Vec::new();
        visit_cookies(headers, &mut |name, value| {
            if let Some(id) = name.strip_prefix(self.prefix().as_bytes()) {
                opened.extend(self.decrypt(id, value));
            }
        });
        opened.sort_by_key(|login| Reverse(login.begun_at));
        opened
    }

    fn decrypt(&self, id: &[u8], value: &[u8]) -> Option<Pending> {
        let id = str::from_utf8(id).ok()?.to_owned();
        let (name, value) = (self.name(&id), BASE64_URL_SAFE_NO_PAD.decode(value).ok()?);
        let (nonce, sealed) = value.split_first_chunk()?;
        let nonce = XNonce::from(*nonce);
        let opened = [&self.cipher].into_iter().chain(&self.old_ciphers).find_map(|cipher| {
            let sealed = Payload { msg: sealed, aad: name.as_bytes() };
            cipher.decrypt(&nonce, sealed).ok()
        })?;
        Some(Pending { id, ..serde_json::from_slice(&opened).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    fn sealer(key: u8) -> Sealer {
        Sealer::new(&[key; 32], &[], true)
    }

    fn login() -> Pending {
        let now = SystemTime::now();
        let session = Session::resume("sess_1", "https://t.me/b", now);
        Pending::begin(&session, "/login", "/basket", None, now).unwrap()
    }

    fn headers(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(cookie).unwrap())])
    }

    fn opens(sealer: &Sealer, cookie: &str) -> bool {
        !sealer.open(&headers(cookie)).is_empty()
    }

    fn sealed(sealer: &Sealer) -> String {
        let set = sealer.seal(&login(), SystemTime::now()).unwrap();
        set.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    #[test]
    fn the_cookie_is_bound_to_the_host_and_hidden_from_scripts() {
        let (sealer, login) = (sealer(7), login());
        let set = sealer.seal(&login, SystemTime::now()).unwrap();
        let removal = sealer.removal(&login).unwrap();
        for set in [set.to_str().unwrap(), removal.to_str().unwrap()] {
            assert!(set.starts_with(&format!("__Host-bondify-login-{}=", login.id)), "{set}");
            for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age="] {
                assert!(set.contains(attribute), "{set}");
            }
            assert!(!set.contains("Domain") && !set.contains("sess_1"), "{set}");
        }
        assert!(removal.to_str().unwrap().contains("Max-Age=0"));
    }

    #[test]
    fn a_cookie_is_decrypted_only_with_its_key_and_name() {
        let cookie = sealed(&sealer(7));
        let [opened] = &sealer(7).open(&headers(&format!("a=b; {cookie}; c")))[..] else {
            panic!("not one login")
        };
        assert_eq!((&*opened.session_token, &*opened.return_to), ("sess_1", "/basket"));
        assert!(!opens(&sealer(8), &cookie));
        let insecure = cookie.trim_start_matches("__Host-");
        assert!(!opens(&Sealer::new(&[7; 32], &[], false), insecure));
        let (name, value) = cookie.split_once('=').unwrap();
        assert!(!opens(&sealer(7), &format!("{name}0={value}")), "the name of another login");
        assert!(sealer(7).open(&HeaderMap::new()).is_empty());
    }

    #[test]
    fn cookies_of_an_old_key_open_and_new_ones_have_the_new_key() {
        let rotating = Sealer::new(&[8; 32], &[vec![6; 32], vec![7; 32]], true);
        assert!(opens(&rotating, &sealed(&sealer(7))));
        assert!(opens(&sealer(8), &sealed(&rotating)));
        assert!(!opens(&sealer(7), &sealed(&rotating)));
    }

    #[test]
    fn a_changed_or_truncated_cookie_is_not_decrypted() {
        let sealer = sealer(7);
        let cookie = sealed(&sealer);
        let value = cookie.find('=').unwrap() + 1;
        for length in value..cookie.len() {
            assert!(!opens(&sealer, &cookie[..length]), "{length}");
        }
        for at in value..cookie.len() {
            let mut changed = cookie.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(!opens(&sealer, &String::from_utf8(changed).unwrap()), "{at}");
        }
    }

    #[test]
    fn a_planted_cookie_of_the_same_name_does_not_hide_the_real_one() {
        let (sealer, real) = (sealer(7), sealed(&sealer(7)));
        let (name, _) = real.split_once('=').unwrap();
        assert!(opens(&sealer, &format!("{name}=planted; {real}")));
    }
}
