//! Takes the pictures of the first page and the guide, in Chromium, with ChromeDriver:
//!
//! ```sh
//! cargo run -p docs-tests --example pictures
//! ```
//!
//! Beside each picture is a file with its text. A test fails when the product shows another one.

#![allow(clippy::unwrap_used, reason = "it can only stop where a step fails")]

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::{Router, http::StatusCode, response::Html};
use bondify_axum::{
    Bondify, BondifyEvent, BondifyExt, Event,
    client::Client,
    login::{Login, LoginExt, SignedIn},
};
use bondify_emulator::{Emulator, Persona, ProjectSettings};
use example_support::browser::{Browser, Device};
use tempfile::TempDir;
use tokio::net::TcpListener;

const SHOP: &str = "proj_shop";

/// A login from left to right: the page in a browser, the bot on a phone, and the page again. Large, so that
/// phones can show it.
const SIGN_IN: &str = r#"<!doctype html><meta charset="utf-8"><style>
body { margin: 0; padding: 20px; display: flex; gap: 20px; justify-content: center; background: #e8ecf1;
    font: 600 28px sans-serif; color: #1f2933; }
figure { margin: 0; } figcaption { padding: 0 4px 10px; }
div { overflow: hidden; background: #fff; box-shadow: 0 4px 18px #0003; border-radius: 12px; }
.browser::before { content: "● ● ●"; display: block; padding: 9px 16px; background: #d3dae3; color: #8492a3;
    font-size: 14px; letter-spacing: 2px; }
.phone { border: 10px solid #1f2933; border-radius: 38px; }
img { display: block; width: 410px; height: 567px; object-fit: cover; } figure:last-child img { width: 280px; }
</style>
<figure><figcaption>1. Your page</figcaption><div class="browser"><img src="waiting.png"></div></figure>
<figure><figcaption>2. The bot (simulated)</figcaption><div class="phone"><img src="bot.png"></div></figure>
<figure><figcaption>3. Signed in</figcaption><div class="browser"><img src="welcome.png"></div></figure>
"#;

#[tokio::main]
async fn main() {
    let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guide/images");
    assert!(take(Path::new(images)).await, "chromedriver is not installed");
}

/// Writes the pictures to the folder `images`. Returns `false` if there is no browser.
pub(crate) async fn take(images: &Path) -> bool {
    let Some(browser) = Browser::open().await else { return false };
    let picture = |name: &str| images.join(name).with_extension("png");
    let write = |name: &str, text: &str| {
        fs::write(images.join(name).with_extension("txt"), text).unwrap();
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let project = ProjectSettings::new()
        .id(SHOP)
        .name("Shop")
        .webhook_url(format!("{url}/webhooks/bondify"))
        .public_access(true);
    let emulator = Emulator::builder().retry_base(Duration::from_millis(200)).project(project);
    let emulator = emulator.start().await.unwrap();
    let app = app(&emulator, &url);
    tokio::spawn(async { axum::serve(listener, app).await });

    let cancelled = emulator.generate(SHOP).unwrap();
    emulator.cancel(&cancelled.token).unwrap();
    for persona in [Persona::default(), Persona::samples().swap_remove(1)] {
        let session = emulator.generate(SHOP).unwrap();
        emulator.confirm(&session.token, persona).unwrap();
        emulator.delivery_of(&session.token).await.unwrap();
    }

    let frames = TempDir::new().unwrap();
    let frame = |name: &str| frames.path().join(name).with_extension("png");

    let phone = Device { width: 340, height: 470, dark: false };
    browser.show_on(Device { width: 600, height: 560, dark: false }).await; // wide enough for the QR code
    browser.goto(&format!("{url}/login")).await;
    browser.click("button").await;
    browser.wait_for_text("Waiting for you to confirm").await;
    browser.screenshot(&frame("waiting")).await;
    let mut text = text_of(&browser).await;
    let bot = browser.value_of("document.querySelector('a[href*=sess_]').href").await;

    browser.show_on(Device { width: 1200, height: 700, dark: false }).await;
    browser.goto(&format!("{}/?delivery=dlv_2", emulator.url())).await;
    browser.wait_until("document.getElementById('link').dataset.state === 'on'").await;
    browser.screenshot(&picture("inspector")).await;
    write("inspector", &text_of(&browser).await);

    browser.show_on(phone).await;
    browser.goto(bot.as_str().unwrap()).await;
    browser.wait_for_text("wants to log you in").await;
    browser.screenshot(&frame("bot")).await;
    text += &text_of(&browser).await;
    browser.click("button[value=confirm]").await;
    browser.show_on(Device { width: 220, height: 445, dark: false }).await;
    browser.goto(&format!("{url}/login")).await;
    browser.wait_for_text("Welcome").await;
    browser.screenshot(&frame("welcome")).await;
    text += &text_of(&browser).await;

    let page = frames.path().join("sign-in.html");
    fs::write(&page, SIGN_IN).unwrap();
    browser.show_on(Device { width: 1200, height: 700, dark: false }).await;
    browser.goto(&format!("file://{}", page.display())).await;
    browser.wait_until("[...document.images].every((image) => image.naturalWidth > 0)").await;
    browser.screenshot(&picture("sign-in")).await;
    write("sign-in", &text);
    true
}

/// The text of a page. Lines with a digit differ each time, such as those with times and tokens.
async fn text_of(browser: &Browser) -> String {
    let text = browser.value_of("document.body.innerText").await;
    let differs = |line: &str| line.contains(|c: char| c.is_ascii_digit());
    let lines = text.as_str().unwrap().lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| format!("{}\n", if differs(line) { "…" } else { line })).collect()
}

/// A sign-in, and a webhook that fails for the first login.
fn app(emulator: &Emulator, url: &str) -> Router {
    let secret = emulator.project(SHOP).unwrap().secret();
    let bondify = Bondify::builder(secret).build().unwrap();
    let client = Client::builder().base_url(emulator.url()).build().unwrap();
    let login = Login::builder(client.sessions(SHOP), &bondify)
        .origin(url)
        .app_name("Shop")
        .build()
        .unwrap();
    let on_login = async |login: SignedIn| Html(welcome(login.user.name()));
    Router::new()
        .merge(login.routes("/login", on_login))
        .route("/webhooks/bondify", bondify.post(on_event))
}

async fn on_event(BondifyEvent(event): BondifyEvent) -> StatusCode {
    static FAILED: AtomicBool = AtomicBool::new(false);
    let is_login = matches!(event, Event::Confirmed(_));
    if is_login && !FAILED.swap(true, Ordering::Relaxed) {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::NO_CONTENT
    }
}

fn welcome(name: &str) -> String {
    format!(
        r#"<meta name="viewport" content="width=device-width"><body style="font: 17px sans-serif; margin: 24px">
        <h1 style="font-size: 24px">Shop</h1><p>Welcome, {name}!</p>"#
    )
}
