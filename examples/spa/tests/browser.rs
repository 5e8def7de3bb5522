//! The single-page app in a browser, and a second one as the phone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bondify_axum::{Bondify, client::Client, login::Login};
use bondify_emulator::{Emulator, Persona, ProjectSettings};
use bondify_testkit::within_a_minute;
use example_support::browser::{Browser, Device};
use tokio::net::TcpListener;

const PROJECT: &str = "proj_spa";

#[tokio::test]
async fn confirming_on_the_phone_signs_the_app_in_without_loading_a_page() {
    within_a_minute(async {
        let project = ProjectSettings::new().id(PROJECT).name("SPA example").public_access(true);
        let emulator = Emulator::builder().project(project).start().await.unwrap();
        let secret = emulator.project(PROJECT).unwrap().secret();
        let bondify = Bondify::builder(secret).build().unwrap();
        let client = Client::builder().base_url(emulator.url()).build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let login = Login::builder(client.sessions(PROJECT), &bondify);
        let login = login.origin(&*url).build().unwrap();
        let app = example_spa::app(&login);
        tokio::spawn(async move { axum::serve(listener, app).await });

        let Some(browser) = Browser::open().await else { return };
        let Some(phone) = Browser::open().await else { return };
        phone.show_on(Device::PHONE).await;
        browser.goto(&url).await;
        browser.value_of("window.loaded = 'once'").await;
        browser.click("button").await;
        browser.wait_for_text("Waiting for you to confirm").await;
        browser.wait_until("document.querySelector('img').naturalWidth > 0").await;
        assert_eq!(browser.barriers().await, [""; 0], "waiting");
        let link = browser.value_of("document.querySelector('a.primary').href").await;
        phone.goto(link.as_str().unwrap()).await;
        let bobby = Persona::samples().into_iter().find(|it| it.telegram_name.contains('<'));
        let bobby = bobby.unwrap();
        phone.click(&format!("input[value='{}']", bobby.telegram_id)).await;
        phone.click("button[value=confirm]").await;
        browser.wait_for_text(&format!("Welcome, {}", bobby.telegram_name)).await;
        assert_eq!(browser.value_of("window.loaded").await, "once");
        assert_eq!(browser.barriers().await, [""; 0], "signed in");

        // A cookie of another application, in an encoding of its own.
        browser.value_of("document.cookie = 'city=Zürich; path=/'").await;
        browser.goto(&url).await;
        browser.wait_for_text("Welcome, ").await;
        browser.click("button").await;
        browser.wait_for_text("Sign in with Telegram").await;
    })
    .await;
}
