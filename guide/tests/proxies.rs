//! Each proxy, with the file that the page shows, in front of a receiver.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::{
    Router,
    http::HeaderMap,
    response::sse::{Event, Sse},
    routing::get,
};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Secret};
use bondify_testkit::{Payload, WebhookRequest, skipped, within_a_minute};
use futures_util::{StreamExt, future::join_all, stream};
use reqwest::{Client, Response};
use tempfile::TempDir;
use tokio::{net, time::sleep};

const PAGE: &str = include_str!("../reverse-proxies.md");

/// A proxy of the page.
struct Kind {
    program: &'static str,
    /// The tag of its code block on the page.
    tag: &'static str,
    /// The name of its file.
    file: &'static str,
    arguments: &'static [&'static str],
    /// Puts ports, certificates and the receiver's address into the page's file.
    adapt: fn(&str, &Place<'_>) -> String,
}

/// The port, the receiver and the folder of a proxy.
struct Place<'a> {
    port: u16,
    receiver: SocketAddr,
    folder: &'a Path,
}

const NGINX: Kind = Kind {
    program: "nginx",
    tag: "nginx",
    file: "nginx.conf",
    arguments: &["-p", ".", "-e", "stderr", "-c"],
    adapt: |file, place| {
        let file = replace(file, "listen 443 ssl", &format!("listen 127.0.0.1:{} ssl", place.port));
        let file = replace(&file, "/etc/ssl/app.example/fullchain.pem", "certificate.pem");
        let file = replace(&file, "/etc/ssl/app.example/privkey.pem", "key.pem");
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let folders = kinds.map(|kind| format!("{kind}_temp_path {kind};\n")).concat();
        format!(
            "daemon off; master_process off; pid nginx.pid; events {{}}\n\
             http {{ access_log off; {folders}{file} }}\n",
        )
    },
};

const CADDY: Kind = Kind {
    program: "caddy",
    tag: "caddyfile",
    file: "Caddyfile",
    arguments: &["run", "--adapter", "caddyfile", "--config"],
    // It makes the certificate itself here too, but nobody signs it.
    adapt: |file, place| {
        let test = format!(
            "{{\nadmin off\nlocal_certs\nskip_install_trust\nauto_https disable_redirects\n\
             https_port {}\n",
            place.port
        );
        let rest = file.strip_prefix("{\n").expect("it begins with the global options");
        test + rest
    },
};

const HAPROXY: Kind = Kind {
    program: "haproxy",
    tag: "haproxy",
    file: "haproxy.cfg",
    arguments: &["-db", "-f"],
    adapt: |file, place| {
        let both = place.folder.join("both.pem");
        let file = replace(file, "bind :443", &format!("bind 127.0.0.1:{}", place.port));
        replace(&file, "/etc/haproxy/app.example.pem", &both.display().to_string())
    },
};

/// Replaces what the page has exactly once.
fn replace(file: &str, from: &str, to: &str) -> String {
    assert_eq!(file.matches(from).count(), 1, "{from} in {file}");
    file.replace(from, to)
}

/// The page's code block with that tag.
fn block(tag: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{tag}\n")).expect("the page has the file");
    rest.split_once("```").expect("the block ends").0
}

/// A running proxy in front of a receiver. It ends when dropped.
struct Rig {
    process: Child,
    client: Client,
    url: String,
    secret: Secret,
    _folder: TempDir,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Rig {
    /// `None` if the proxy is not installed, which is [`skipped`].
    async fn start(kind: &Kind) -> Option<Self> {
        let secret = Secret::new("whsec_test").unwrap();
        let receiver = receiver(&secret).await;
        let mut log = String::new();
        // A port may be taken by another process before the proxy listens.
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            certify(folder.path());
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let place = Place { port, receiver, folder: folder.path() };
            let mut process = spawn(kind, &place)?;
            let client = Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let client = client.resolve("app.example", address).build().unwrap();
            let url = format!("https://app.example:{port}");
            if answers(&mut process, &client, &url).await {
                return Some(Self { process, client, url, secret, _folder: folder });
            }
            process.kill().ok();
            process.wait().ok();
            log = fs::read_to_string(folder.path().join("log")).unwrap();
        }
        panic!("{} does not start: {log}", kind.program);
    }

    async fn send(&self, request: &WebhookRequest) -> Response {
        let mut post = self.client.post(format!("{}/webhooks/bondify", self.url));
        for (name, value) in request.headers() {
            post = post.header(name, value);
        }
        post.body(request.body().clone()).send().await.expect("the proxy answers")
    }

    /// The status and the text of the answer.
    async fn answer(&self, request: &WebhookRequest) -> (u16, String) {
        let response = self.send(request).await;
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.expect("the proxy answers")
    }
}

/// The server behind the proxy: a webhook that answers with the body that it got, or takes 10.5
/// seconds; the headers that arrive; an event stream that does not end.
async fn receiver(secret: &Secret) -> SocketAddr {
    let bondify = Bondify::builder(secret.clone()).build().unwrap();
    let on_event = async |BondifyEvent(event): BondifyEvent| {
        if event.name() == "test.slow" {
            sleep(Duration::from_millis(10_500)).await;
        }
        event.raw().clone()
    };
    let events = async || {
        let events = stream::iter([Ok::<_, axum::Error>(Event::default().data("first"))]);
        ([("x-accel-buffering", "no")], Sse::new(events.chain(stream::pending())))
    };
    let origin = async |headers: HeaderMap| headers["sec-fetch-site"].to_str().unwrap().to_owned();
    let app = Router::new()
        .route("/webhooks/bondify", bondify.post(on_event))
        .route("/events", get(events))
        .route("/origin", get(origin));
    let listener = net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

fn certify(folder: &Path) {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=app.example"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "{output:?}");
    let read = |name| fs::read_to_string(folder.join(name)).unwrap();
    fs::write(folder.join("both.pem"), read("certificate.pem") + &read("key.pem")).unwrap();
}

fn spawn(kind: &Kind, place: &Place<'_>) -> Option<Child> {
    let file = replace(block(kind.tag), "127.0.0.1:3000", &place.receiver.to_string());
    let path = place.folder.join(kind.file);
    fs::write(&path, (kind.adapt)(&file, place)).unwrap();
    let log = fs::File::create(place.folder.join("log")).unwrap();
    // Debian has nginx and HAProxy where only root's `PATH` leads.
    let debian = Path::new("/usr/sbin").join(kind.program);
    let mut command = Command::new(if debian.exists() { &*debian } else { kind.program.as_ref() });
    command.args(kind.arguments).arg(&path).current_dir(place.folder);
    command.env("HOME", place.folder).env("XDG_DATA_HOME", place.folder);
    command.env("XDG_CONFIG_HOME", place.folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    match command.spawn() {
        Ok(process) => Some(process),
        Err(_) => {
            skipped(kind.program, "is not installed");
            None
        }
    }
}

/// Waits until the proxy answers. `false` if it has ended.
async fn answers(process: &mut Child, client: &Client, url: &str) -> bool {
    // Caddy listens before it has its certificate.
    while client.get(url).send().await.is_err() {
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        sleep(Duration::from_millis(10)).await;
    }
    true
}

/// The signature covers the bytes: spaces, escapes and the order of fields.
async fn bytes_pass(kind: &Kind) {
    let Some(rig) = Rig::start(kind).await else { return };
    let bodies = [
        r#"{ "z":1,"event" : "test.odd","session_token":"sess_1","name":"\u00c4da 𝄞" }"#.to_owned(),
        format!(
            r#"{{"event":"test.large","session_token":"sess_2","x":"{}"}}"#,
            "x".repeat(65_000)
        ),
    ];
    for body in bodies {
        let request = WebhookRequest::signed(body.clone(), &rig.secret);
        assert_eq!(rig.answer(&request).await, (200, body));
    }
}

async fn answers_pass(kind: &Kind) {
    let Some(rig) = Rig::start(kind).await else { return };
    let genuine = Payload::confirmed().signed_with(&rig.secret);
    assert_eq!(rig.answer(&genuine).await.0, 200);
    let duplicate = (200, r#"{"status":"duplicate"}"#.to_owned());
    assert_eq!(rig.answer(&genuine).await, duplicate);
    let (status, text) = rig.answer(&genuine.clone().tampered()).await;
    assert_eq!((status, text.contains("INVALID_SIGNATURE")), (401, true), "{text}");

    let concurrent = Payload::confirmed().signed_with(&rig.secret);
    let answers = join_all([(); 8].map(|()| rig.answer(&concurrent))).await;
    assert_eq!(answers.iter().filter(|&answer| *answer == duplicate).count(), 7, "{answers:?}");

    // One is refused by the receiver, the other by the proxy or the receiver.
    let above = |size| WebhookRequest::signed(vec![b' '; size], &rig.secret);
    let (status, text) = rig.answer(&above(64 * 1024 + 1)).await;
    assert_eq!((status, text.contains("PAYLOAD_TOO_LARGE")), (413, true), "{text}");
    assert_eq!(rig.answer(&above(2 * 1024 * 1024)).await.0, 413);
}

async fn login_passes(kind: &Kind) {
    let Some(rig) = Rig::start(kind).await else { return };
    let request = rig.client.get(format!("{}/origin", rig.url));
    let response = request.header("sec-fetch-site", "same-origin").send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "same-origin");
    let mut events = rig.get("/events").await;
    let event = events.chunk().await.unwrap().expect("the stream is open");
    assert_eq!(event, "data: first\n\n");
}

#[tokio::test]
async fn each_waits_for_an_answer_for_more_than_ten_seconds() {
    within_a_minute(join_all([NGINX, CADDY, HAPROXY].iter().map(slow_answer_passes))).await;
}

async fn slow_answer_passes(kind: &Kind) {
    let Some(rig) = Rig::start(kind).await else { return };
    let slow = Payload::unknown("test.slow").signed_with(&rig.secret);
    assert_eq!(rig.send(&slow).await.status(), 200);
}

macro_rules! proxy_tests {
    ($($module:ident: $kind:ident,)+) => {$(
        mod $module {
            use super::*;

            #[tokio::test]
            async fn passes_on_the_bytes_that_were_signed() {
                within_a_minute(bytes_pass(&$kind)).await;
            }

            #[tokio::test]
            async fn passes_on_every_answer() {
                within_a_minute(answers_pass(&$kind)).await;
            }

            #[tokio::test]
            async fn passes_on_what_the_login_page_needs() {
                within_a_minute(login_passes(&$kind)).await;
            }
        }
    )+};
}

proxy_tests! {
    nginx: NGINX,
    caddy: CADDY,
    haproxy: HAPROXY,
}
