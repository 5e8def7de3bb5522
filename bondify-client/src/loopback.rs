use std::net::IpAddr;

use reqwest::Url;

/// Returns whether the URL's host is this machine: `localhost`, a name that ends in `.localhost`, a
/// loopback address, or the unspecified address (`0.0.0.0` or `[::]`).
///
/// Such a URL may be `http://`, and the client never calls it through a proxy.
///
/// ```
/// use bondify_client::is_loopback;
/// use reqwest::Url;
///
/// assert!(is_loopback(&Url::parse("http://app.localhost:3000/")?));
/// assert!(!is_loopback(&Url::parse("http://192.168.0.2:3000/")?)); // another machine
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let ip = ip.to_canonical();
            return ip.is_loopback() || ip.is_unspecified();
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        name == "localhost" || name.ends_with(".localhost")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_and_address_of_this_machine_is_loopback() {
        let is_loopback = |host| is_loopback(&Url::parse(&format!("http://{host}:1/")).unwrap());
        for host in ["localhost", "LocalHost.", "app.localhost", "127.1", "0.0.0.0", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["[::]", "[::ffff:127.0.0.1]", "a.b.localhost."] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "notlocalhost", "192.0.2.1", "[2001:db8::1]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
