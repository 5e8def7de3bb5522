use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Response,
        header::{CONNECTION, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE, TRANSFER_ENCODING},
    },
};
use bondify_axum::{
    Bondify, Secret,
    login::{Login, LoginExt as _, SignedIn},
};
use bondify_emulator::{Emulator, ProjectSettings};
use bondify_testkit::within_a_minute;
use tokio::net::TcpListener;

use super::assert_findings;
use crate::support::{Finished, SECRET, emulator, run};

/// A proxy in front of a sign-in page.
#[derive(Clone, Copy)]
struct Proxy {
    request: fn(&mut HeaderMap),
    answer: fn(&mut HeaderMap),
    buffers: bool,
    max_waiting: usize,
    has_public_access: bool,
    /// The origin of the login, unless it is that of the proxy.
    origin: Option<&'static str>,
}

const SOUND: Proxy = Proxy {
    request: |_| {},
    answer: |_| {},
    buffers: false,
    max_waiting: 10,
    has_public_access: true,
    origin: None,
};

impl Proxy {
    /// Starts the proxy and the page, and returns the origin and the local Bondify.
    async fn start(self) -> (String, Emulator) {
        let project = ProjectSettings::new().id("proj_local").secret(SECRET);
        let project = project.public_access(self.has_public_access);
        let emulator = emulator().project(project).start().await.unwrap();
        let [proxy, page] = [listener().await, listener().await];
        let [at, upstream] =
            [&proxy, &page].map(|it| format!("http://{}", it.local_addr().unwrap()));

        let client = bondify_client::Client::builder().base_url(emulator.url()).build().unwrap();
        let bondify = Bondify::builder(Secret::new(SECRET).unwrap()).build().unwrap();
        let login = Login::builder(client.sessions("proj_local"), &bondify)
            .origin(self.origin.unwrap_or(&at))
            .cookie_key([7; 32])
            .max_waiting(self.max_waiting)
            .build()
            .unwrap();
        let routes = Router::new().merge(login.routes("/login", async |_: SignedIn| "signed in"));
        tokio::spawn(async { axum::serve(page, routes).await.unwrap() });
        let client = reqwest::Client::builder().no_proxy();
        let client = client.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let forward =
            move |request: Request| self.forward(client.clone(), upstream.clone(), request);
        tokio::spawn(async { axum::serve(proxy, Router::new().fallback(forward)).await.unwrap() });
        (at, emulator)
    }

    async fn forward(
        self,
        client: reqwest::Client,
        upstream: String,
        request: Request,
    ) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        head.headers.remove(HOST);
        (self.request)(&mut head.headers);
        let url = format!("{upstream}{}", head.uri);
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let request = client.request(head.method, url).headers(head.headers).body(body);
        let answer = Response::<reqwest::Body>::from(request.send().await.unwrap());
        let mut answer = answer.map(Body::new);
        for of_connection in [CONNECTION, TRANSFER_ENCODING] {
            answer.headers_mut().remove(of_connection);
        }
        (self.answer)(answer.headers_mut());
        if !self.buffers {
            return answer;
        }
        let (head, body) = answer.into_parts();
        Response::from_parts(head, to_bytes(body, usize::MAX).await.unwrap().into())
    }

    async fn examine(self) -> Finished {
        let (origin, _emulator) = self.start().await;
        doctor(&origin).await
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn doctor(origin: &str) -> Finished {
    run(&["doctor", "--json", "--timeout=5s", "--origin", origin]).await
}

#[tokio::test]
async fn a_sound_page_has_no_findings() {
    within_a_minute(async {
        let finished = SOUND.examine().await;
        assert_findings(&finished, &[]);
        assert_eq!(finished.json().len(), 6, "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_page_that_does_not_appear_is_named() {
    within_a_minute(async {
        assert_findings(&doctor("http://127.0.0.1:9").await, &[("page", "problem")]);
        let (origin, _emulator) = SOUND.start().await;
        let elsewhere = doctor(&format!("{origin}/sign-in")).await;
        assert_findings(&elsewhere, &[("page", "problem")]);
        assert!(elsewhere.stdout.contains("path of --origin"), "{elsewhere}");
    })
    .await;
}

#[tokio::test]
async fn another_origin_of_the_login_is_named() {
    within_a_minute(async {
        let moved = Proxy { origin: Some("https://shop.example"), ..SOUND }.examine().await;
        assert_findings(&moved, &[("origin", "problem")]);
        assert!(moved.stdout.contains("the server's origin is https://shop.example"), "{moved}");
        assert!(moved.stdout.contains("set the origin of the login"), "{moved}");
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_drops_the_senders_origin_is_named() {
    within_a_minute(async {
        let drop_origin = |headers: &mut HeaderMap| {
            headers.remove(ORIGIN);
            headers.remove("sec-fetch-site");
        };
        let finished = Proxy { request: drop_origin, ..SOUND }.examine().await;
        assert_findings(&finished, &[("origin", "problem")]);
        assert!(finished.stdout.contains("pass on the headers Origin"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_hides_the_senders_origin_is_named() {
    within_a_minute(async {
        let pretend = |headers: &mut HeaderMap| {
            headers.remove(ORIGIN);
            headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
        };
        let finished = Proxy { request: pretend, ..SOUND }.examine().await;
        assert_findings(&finished, &[("other-origin", "problem")]);
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_strips_the_cookie_is_named() {
    within_a_minute(async {
        let strip = |headers: &mut HeaderMap| drop(headers.remove(SET_COOKIE));
        let finished = Proxy { answer: strip, ..SOUND }.examine().await;
        assert_findings(&finished, &[("cookie", "problem")]);
        assert!(finished.stdout.contains("sets no cookie"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_changes_the_cookie_is_named() {
    within_a_minute(async {
        let change = |headers: &mut HeaderMap| {
            if let Some(cookie) = headers.get_mut(SET_COOKIE) {
                let changed = cookie.to_str().unwrap().replace("Path=/", "Path=/shop");
                *cookie = changed.parse().unwrap();
            }
        };
        let finished = Proxy { answer: change, ..SOUND }.examine().await;
        assert_findings(&finished, &[("cookie", "problem")]);
        assert!(finished.stdout.contains("path=/shop"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_keeps_the_cookie_from_the_server_is_named() {
    within_a_minute(async {
        let strip = |headers: &mut HeaderMap| drop(headers.remove(COOKIE));
        let finished = Proxy { request: strip, ..SOUND }.examine().await;
        let expected = [("cookie-returned", "problem"), ("events", "problem")];
        assert_findings(&finished, &expected);
    })
    .await;
}

#[tokio::test]
async fn a_buffering_proxy_is_named() {
    within_a_minute(async {
        let finished = Proxy { buffers: true, ..SOUND }.examine().await;
        assert_findings(&finished, &[("events", "problem")]);
        assert!(finished.stdout.contains("proxy_buffering off"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_server_without_event_streams_is_named() {
    within_a_minute(async {
        let finished = Proxy { max_waiting: 0, ..SOUND }.examine().await;
        assert_findings(&finished, &[("events", "warning")]);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_the_api_refuses_is_named() {
    within_a_minute(async {
        let finished = Proxy { has_public_access: false, ..SOUND }.examine().await;
        assert_findings(&finished, &[("begin", "problem")]);
        assert!(finished.stdout.contains("--project"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_redirect_to_another_address_is_named() {
    within_a_minute(async {
        let elsewhere = async || {
            let to = HeaderValue::from_static("https://www.shop.example/login");
            (axum::http::StatusCode::MOVED_PERMANENTLY, [(LOCATION, to)])
        };
        let listener = listener().await;
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(elsewhere);
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        let finished = doctor(&origin).await;
        assert_findings(&finished, &[("page", "problem")]);
        assert!(finished.stdout.contains("redirect leads to"), "{finished}");
    })
    .await;
}
