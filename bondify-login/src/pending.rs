//! The cookie of a login that has begun.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bondify_client::Session;
use bondify_core::adapter::visit_cookies;
use cookie::{Cookie, CookieJar, Key, SameSite};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::limits::{FINISH_GRACE, MAX_LIFETIME};

/// A login that has begun, in the form of the browser's cookie.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) session_token: String,
    pub(crate) deeplink: String,
    /// The expiry time, in seconds since 1970.
    expires_at: u64,
    pub(crate) return_to: String,
}

impl Pending {
    pub(crate) fn begin(session: &Session, return_to: String, now: SystemTime) -> Self {
        let latest = now + MAX_LIFETIME;
        let expires_at = session.expires_at().filter(|expires_at| *expires_at > now);
        let expires_at = expires_at.unwrap_or(now + Session::DEFAULT_LIFETIME).min(latest);
        let since_epoch = expires_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            session_token: session.session_token().to_owned(),
            deeplink: session.deeplink().to_owned(),
            expires_at: since_epoch.as_secs(),
            return_to,
        }
    }

    pub(crate) fn expires_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.expires_at)
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

/// Encrypts and authenticates the cookie.
pub(crate) struct Sealer {
    key: Key,
    secure: bool,
}

impl Sealer {
    pub(crate) fn new(key: &[u8], secure: bool) -> Self {
        Self { key: Key::derive_from(key), secure }
    }

    /// The cookie's name. Browsers accept a `__Host-` cookie only from this host, so that no other host
    /// of the domain can set it.
    fn name(&self) -> &'static str {
        if self.secure { "__Host-bondify-login" } else { "bondify-login" }
    }

    /// The value of `Set-Cookie` with the encrypted login.
    pub(crate) fn seal(&self, login: &Pending, now: SystemTime) -> Option<HeaderValue> {
        let lifetime = login.expires_at().duration_since(now).unwrap_or_default() + FINISH_GRACE;
        let seconds = i64::try_from(lifetime.as_secs()).ok()?;
        let mut cookie = self.cookie(serde_json::to_string(login).ok()?);
        cookie.set_max_age(cookie::time::Duration::seconds(seconds));
        let mut jar = CookieJar::new();
        jar.private_mut(&self.key).add(cookie);
        HeaderValue::try_from(jar.get(self.name())?.to_string()).ok()
    }

    /// The value of `Set-Cookie` that removes the cookie.
    pub(crate) fn removal(&self) -> HeaderValue {
        HeaderValue::from_static(match self.secure {
            true => "__Host-bondify-login=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0",
            false => "bondify-login=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0",
        })
    }

    /// Returns the login of the browser that sent these headers. A browser may send several cookies
    /// with this name. The first that can be decrypted is used.
    pub(crate) fn open(&self, headers: &HeaderMap) -> Option<Pending> {
        let mut opened = None;
        visit_cookies(headers, &mut |name, value| {
            if opened.is_none() && name == self.name().as_bytes() {
                opened = self.decrypt(value);
            }
        });
        opened
    }

    fn decrypt(&self, value: &[u8]) -> Option<Pending> {
        let sealed = self.cookie(str::from_utf8(value).ok()?.to_owned());
        let opened = CookieJar::new().private(&self.key).decrypt(sealed)?;
        serde_json::from_str(opened.value()).ok()
    }

    fn cookie(&self, value: String) -> Cookie<'static> {
        Cookie::build((self.name(), value))
            .http_only(true)
            .secure(self.secure)
            .same_site(SameSite::Lax)
            .path("/")
            .build()
    }
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    fn login() -> Pending {
        let session = Session::resume("sess_1", "https://t.me/b", SystemTime::now());
        Pending::begin(&session, "/basket".into(), SystemTime::now())
    }

    fn headers(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(cookie).unwrap())])
    }

    fn sealed(sealer: &Sealer) -> String {
        let set = sealer.seal(&login(), SystemTime::now()).unwrap();
        set.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    #[test]
    fn the_cookie_is_bound_to_the_host_and_hidden_from_scripts() {
        let sealer = Sealer::new(&[7; 32], true);
        let set = sealer.seal(&login(), SystemTime::now()).unwrap();
        let set = set.to_str().unwrap();
        assert!(set.starts_with("__Host-bondify-login="), "{set}");
        for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age="] {
            assert!(set.contains(attribute), "{set}");
        }
        assert!(!set.contains("Domain") && !set.contains("sess_1"), "{set}");
        for secure in [true, false] {
            let sealer = Sealer::new(&[7; 32], secure);
            let mut removal = sealer.cookie(String::new());
            removal.set_max_age(cookie::time::Duration::ZERO);
            assert_eq!(sealer.removal(), removal.to_string());
        }
    }

    #[test]
    fn only_the_same_key_and_name_open_it() {
        let sealer = Sealer::new(&[7; 32], true);
        let cookie = sealed(&sealer);
        let opened = sealer.open(&headers(&format!("a=b; {cookie}; c"))).unwrap();
        assert_eq!(opened.session_token, "sess_1");
        assert_eq!(opened.return_to, "/basket");
        assert!(Sealer::new(&[8; 32], true).open(&headers(&cookie)).is_none());
        let insecure = cookie.trim_start_matches("__Host-");
        assert!(Sealer::new(&[7; 32], false).open(&headers(insecure)).is_none());
        assert!(sealer.open(&HeaderMap::new()).is_none());
    }

    #[test]
    fn no_changed_or_truncated_cookie_opens() {
        let sealer = Sealer::new(&[7; 32], true);
        let cookie = sealed(&sealer);
        let value = cookie.find('=').unwrap() + 1;
        for length in value..cookie.len() {
            assert!(sealer.open(&headers(&cookie[..length])).is_none(), "{length}");
        }
        for at in value..cookie.len() {
            let mut changed = cookie.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(sealer.open(&headers(&changed)).is_none(), "{at}");
        }
    }

    #[test]
    fn a_planted_cookie_of_the_same_name_does_not_hide_the_real_one() {
        let sealer = Sealer::new(&[7; 32], true);
        let both = format!("__Host-bondify-login=planted; {}", sealed(&sealer));
        assert!(sealer.open(&headers(&both)).is_some());
    }
}
