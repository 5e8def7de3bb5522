use std::net::IpAddr;

use reqwest::Url;

/// Whether the URL's host is this machine: `localhost` or a loopback address.
///
/// A loopback URL may be `http://`, and is never called through a proxy.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}
