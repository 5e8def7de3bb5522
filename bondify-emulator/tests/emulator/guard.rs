use bondify_emulator::{Emulator, ProjectSettings};
use bondify_testkit::{Connection, within_a_minute};
use serde_json::json;

use crate::support::{SHOP, answer, plain, request, start};

/// A path of each API, with a method and a body.
const PATHS: [(&str, &str, &str); 4] = [
    ("POST", "/api/v1/generate/public", r#"{"project_id":"proj_shop"}"#),
    ("GET", "/api/v1/dev/projects", ""),
    ("GET", "/emulator/deliveries", ""),
    ("POST", "/emulator/reset", ""),
];

async fn call(
    emulator: &Emulator,
    (method, path, body): (&str, &str, &'static str),
    header: (&str, &str),
) -> (u16, String) {
    let request = request(emulator, method, path)
        .bearer_auth(emulator.developer_token())
        .header(header.0, header.1);
    let answer = answer(request.body(body)).await;
    assert_eq!(answer.header("access-control-allow-origin").is_some(), path.ends_with("/public"));
    (answer.status, answer.json["code"].as_str().unwrap_or_default().to_owned())
}

async fn call_host(emulator: &Emulator, path: (&str, &str, &'static str), host: &str) -> u16 {
    let (method, uri, body) = path;
    let request =
        request(emulator, method, uri).bearer_auth(emulator.developer_token()).header("host", host);
    let answer = answer(request.body(body)).await;
    let forbidden = answer.json["code"] == "FORBIDDEN_HOST";
    assert_eq!(forbidden, answer.status == 403, "{answer:?}");
    answer.status
}

#[tokio::test]
async fn an_unknown_host_name_is_refused() {
    let emulator = plain().await;
    let port = emulator.address().port();
    for path in PATHS {
        for host in ["evil.example", "127.0.0.1.nip.io", "localhost.evil.example", "192.0.2.1", ""]
        {
            for host in [host.to_owned(), format!("{host}:{port}")] {
                assert_eq!(call_host(&emulator, path, &host).await, 403, "{path:?} {host}");
            }
        }
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "app.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "host.docker.internal",
            "host.containers.internal",
        ] {
            let host = format!("{host}:{port}");
            assert_eq!(call_host(&emulator, path, &host).await, 200, "{path:?} {host}");
        }
    }
}

#[tokio::test]
async fn a_name_can_be_allowed() {
    let builder = Emulator::builder().allowed_host("bondify.test");
    let emulator = start(builder, ProjectSettings::new()).await;
    assert_eq!(call_host(&emulator, PATHS[0], "Bondify.test:8080").await, 200);
    assert_eq!(call_host(&emulator, PATHS[0], "bondify.test.evil.example").await, 403);
}

#[tokio::test]
async fn a_page_of_another_origin_may_use_the_public_api_only() {
    let emulator = plain().await;
    let port = emulator.address().port();
    let foreign = [
        "https://evil.example",
        "http://localhost:3000",
        "null",
        "",
        &format!("https://127.0.0.1:{port}"),
        &format!("http://localhost:{port}"),
    ];
    for origin in foreign {
        assert_eq!(call(&emulator, PATHS[0], ("origin", origin)).await.0, 200, "{origin}");
        for path in &PATHS[1..] {
            let expected = (403, "FORBIDDEN_ORIGIN".to_owned());
            assert_eq!(call(&emulator, *path, ("origin", origin)).await, expected, "{origin}");
        }
    }
    let own = emulator.url().to_owned();
    for path in PATHS {
        assert_eq!(call(&emulator, path, ("origin", &own)).await.0, 200);
    }
}

#[tokio::test]
async fn a_forbidden_call_changes_nothing() {
    let emulator = plain().await;
    let token = emulator.generate(SHOP).unwrap().token;
    let confirm = request(&emulator, "POST", &format!("/emulator/sessions/{token}/confirm"))
        .header("origin", "https://evil.example")
        .header("content-type", "text/plain")
        .body(json!({}).to_string());
    assert_eq!(answer(confirm).await.status, 403);
    assert_eq!(emulator.session(&token).unwrap().status.name(), "pending");
}

#[tokio::test]
async fn it_listens_on_loopback() {
    let emulator = plain().await;
    assert!(emulator.address().ip().is_loopback());
    assert_eq!(emulator.url(), format!("http://{}", emulator.address()));
    let ipv6 = (std::net::Ipv6Addr::LOCALHOST, emulator.address().port());
    match tokio::net::TcpStream::connect(ipv6).await {
        Ok(_) => {}
        Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::ConnectionRefused),
    }
}

#[tokio::test]
async fn a_request_needs_exactly_one_host() {
    within_a_minute(async {
        let emulator = plain().await;
        for hosts in ["", "host: localhost\r\nhost: localhost\r\n", "host: a b\r\n"] {
            let mut connection = Connection::open(emulator.address()).await.unwrap();
            let request = format!("GET /emulator/health HTTP/1.1\r\n{hosts}\r\n");
            connection.send(request.as_bytes()).await.unwrap();
            let response = connection.response().await.unwrap();
            assert_eq!(response.code().as_deref(), Some("FORBIDDEN_HOST"), "{hosts}");
        }
    })
    .await;
}
