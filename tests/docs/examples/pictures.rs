//! Takes the pictures of the root README, in Chromium, with ChromeDriver:
//!
//! ```sh
//! cargo run -p docs-tests --example pictures
//! ```

#![allow(clippy::unwrap_used, reason = "it can only stop where a step fails")]

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::{Router, http::StatusCode, response::Redirect};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Event};
use bondify_client::Client;
use bondify_emulator::{Emulator, Persona, ProjectSettings};
use bondify_login::{Login, SignedIn, axum::LoginExt};
use example_support::browser::{Browser, Device};
use tokio::net::TcpListener;

const SHOP: &str = "proj_shop";

#[tokio::main]
async fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let project = ProjectSettings::new()
        .id(SHOP)
        .name("Corner shop")
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

    let browser = Browser::open().await.expect("chromedriver is installed");
    browser.show_on(Device { width: 390, height: 660, dark: false }).await;
    browser.goto(&format!("{url}/login")).await;
    browser.click("button").await;
    browser.wait_for_text("Waiting for you to confirm").await;
    picture(&browser, "login").await;

    browser.show_on(Device { width: 1200, height: 700, dark: false }).await;
    browser.goto(&format!("{}/?delivery=dlv_2", emulator.url())).await;
    browser.wait_until("document.getElementById('link').dataset.state === 'on'").await;
    picture(&browser, "inspector").await;
}

/// A sign-in, and a webhook that fails for the first login.
fn app(emulator: &Emulator, url: &str) -> Router {
    let secret = emulator.project(SHOP).unwrap().secret().clone();
    let bondify = Bondify::builder(secret).build().unwrap();
    let client = Client::builder().base_url(emulator.url()).build().unwrap();
    let login = Login::builder(client.sessions(SHOP), &bondify)
        .origin(url)
        .cookie_key([0; 32])
        .app_name("Corner shop")
        .build()
        .unwrap();
    let on_login = async |login: SignedIn| Redirect::to(&login.return_to);
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

async fn picture(browser: &Browser, name: &str) {
    let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guide/images");
    browser.screenshot(&Path::new(images).join(name).with_extension("png")).await;
}
