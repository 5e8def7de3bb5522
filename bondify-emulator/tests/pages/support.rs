use std::{path::Path, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Html,
};
use bondify_emulator::{Builder, Emulator, Project, ProjectSettings};
use example_support::browser::{Browser, Device};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

pub(crate) const SHOP: &str = "proj_shop";

/// A name that is markup and partly written from right to left.
pub(crate) const NAME: &str = "<script>alert(1)</script> & \"متجر\"";

/// Starts an emulator with a project of that name and no webhook URL.
pub(crate) async fn start(builder: Builder) -> Emulator {
    builder.project(shop()).start().await.unwrap()
}

pub(crate) fn shop() -> ProjectSettings {
    ProjectSettings::new().id(SHOP).name(NAME).public_access(true)
}

/// Opens the live inspector in a browser, if one is installed.
pub(crate) async fn inspect(emulator: &Emulator, query: &str) -> Option<Browser> {
    let browser = Browser::open().await?;
    browser.goto(&format!("{}/{query}", emulator.url())).await;
    browser.wait_until("document.getElementById('link').dataset.state === 'on'").await;
    Some(browser)
}

/// The devices that pages are shown on.
pub(crate) const DEVICES: [(&str, Device); 4] = [
    ("screen", Device::SCREEN),
    ("dark-screen", Device { dark: true, ..Device::SCREEN }),
    ("phone", Device::PHONE),
    ("dark-phone", Device { dark: true, ..Device::PHONE }),
];

/// Saves a picture of the page.
pub(crate) async fn picture(browser: &Browser, name: &str) {
    let path = format!("{}/{name}.png", env!("CARGO_TARGET_TMPDIR"));
    browser.screenshot(Path::new(&path)).await;
}

/// Awaits a future, for a minute at most.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("it happens within a minute")
}

/// Waits until the shop's project is as wanted.
pub(crate) async fn until_shop(emulator: &Emulator, is_wanted: impl Fn(&Project) -> bool) {
    let mut changes = emulator.changes();
    while !is_wanted(&emulator.project(SHOP).unwrap()) {
        soon(changes.next()).await.unwrap();
    }
}

/// A webhook endpoint.
pub(crate) struct Receiver {
    url: String,
    received: mpsc::UnboundedReceiver<Received>,
}

/// A received request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) signature: String,
    pub(crate) body: String,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, received) = mpsc::unbounded_channel();
        let router = Router::new().fallback(answer).with_state(sender);
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, received }
    }

    /// The URL at which it answers 200.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The URL at which it answers with this status and some markup.
    pub(crate) fn url_of(&self, status: u16) -> String {
        format!("{}/{status}", self.url)
    }

    pub(crate) async fn next(&mut self) -> Received {
        soon(self.received.recv()).await.unwrap()
    }
}

async fn answer(
    State(received): State<mpsc::UnboundedSender<Received>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, Html<&'static str>) {
    let signature = headers["x-bondify-signature"].to_str().unwrap().to_owned();
    received.send(Received { signature, body }).unwrap();
    let status = uri.path().trim_start_matches('/').parse().unwrap_or(StatusCode::OK);
    (status, Html("<b>Thank you</b>"))
}
