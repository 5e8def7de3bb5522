use std::time::{Duration, Instant};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, Response,
        header::{
            CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
            TRANSFER_ENCODING, UPGRADE,
        },
    },
};
use bytes::Bytes;

use crate::http::{Endpoint, NoAnswer};

/// The headers that are about one connection, except those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The head of an answer, a body that is still to arrive, and the time that the head took.
pub(super) struct Forwarded {
    pub(super) response: Response<Body>,
    pub(super) latency: Duration,
}

/// Sends the body with all end-to-end headers, and answers with all end-to-end headers, the body
/// and its trailers.
pub(super) async fn forward(
    endpoint: &Endpoint,
    body: Bytes,
    headers: &HeaderMap,
) -> Result<Forwarded, NoAnswer> {
    let mut headers = end_to_end(headers);
    for of_this_request in [HOST, CONTENT_LENGTH, EXPECT] {
        headers.remove(of_this_request);
    }
    let start = Instant::now();
    let answer = endpoint.post().headers(headers).body(body).send().await?;
    let latency = start.elapsed();
    let mut response = Response::<reqwest::Body>::from(answer).map(Body::new);
    *response.headers_mut() = end_to_end(response.headers());
    response.extensions_mut().clear();
    *response.version_mut() = axum::http::Version::HTTP_11;
    Ok(Forwarded { response, latency })
}

fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(CONNECTION).iter().filter_map(|names| names.to_str().ok());
    let named = named.flat_map(|names| names.split(',')).map(str::trim);
    let mut kept = headers.clone();
    for name in named {
        kept.remove(name);
    }
    for name in HOP_BY_HOP {
        kept.remove(name);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_about_the_connection_are_left_out() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("keep-alive", "timeout=5"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("trailer", "x-checksum"),
        ] {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let kept = end_to_end(&headers);
        assert_eq!(kept.len(), 3);
        assert_eq!(kept.get_all("set-cookie").iter().count(), 2);
        assert!(kept.contains_key("trailer"));
    }
}
