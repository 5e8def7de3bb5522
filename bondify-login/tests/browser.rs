//! The page in a browser: each state on each device, checked with axe-core.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, path::Path, time::Duration};

use axum::{Router, response::Redirect};
use bondify_axum::login::{Login, LoginExt, SignedIn};
use bondify_client::Client;
use bondify_core::Bondify;
use bondify_emulator::{Emulator, Persona, ProjectSettings};
use bondify_testkit::within_a_minute;
use example_support::browser::{Browser, Device};
use tokio::net::TcpListener;

const PROJECT: &str = "proj_login";

async fn serve(lifetime: Duration) -> (SocketAddr, Emulator) {
    let project =
        ProjectSettings::new().id(PROJECT).name("Shop").public_access(true).bare_used(true);
    let emulator = Emulator::builder().project(project).session_lifetime(lifetime);
    let emulator = emulator.start().await.unwrap();
    let secret = emulator.project(PROJECT).unwrap().secret().clone();
    let bondify = Bondify::builder(secret).build().unwrap();
    let client = Client::builder().base_url(emulator.url()).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let login = Login::builder(client.sessions(PROJECT), &bondify)
        .origin(format!("http://{address}"))
        .cookie_key([7; 32])
        .app_name("متجر الكتب")
        .build()
        .unwrap();
    let on_login = async |login: SignedIn| Redirect::to(&format!("/login?{}", login.user.id()));
    let app = Router::new().merge(login.routes("/login", on_login));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, emulator)
}

/// Takes a picture on each device and asserts that axe-core finds no problem.
async fn look(browser: &Browser, state: &str) {
    for (device, name) in [
        (Device::SCREEN, "screen"),
        (Device::SCREEN.dark(), "dark-screen"),
        (Device::PHONE, "phone"),
        (Device::PHONE.dark(), "dark-phone"),
    ] {
        picture(browser, state, device, name).await;
        assert_eq!(browser.barriers().await, [""; 0], "{state} on a {name}");
    }
    let complaints = browser.complaints().await;
    let ours: Vec<_> = complaints.iter().filter(|it| !it.contains("favicon")).collect();
    assert_eq!(ours, [""; 0], "{state}");
}

async fn picture(browser: &Browser, state: &str, device: Device, name: &str) {
    browser.show_on(device).await;
    let picture = format!("{}/sign-in-{state}-{name}.png", env!("CARGO_TARGET_TMPDIR"));
    browser.screenshot(Path::new(&picture)).await;
}

#[tokio::test]
async fn each_state_is_shown_on_each_device() {
    let (address, emulator) = serve(Duration::from_secs(600)).await;
    let Some(browser) = Browser::open().await else { return };
    let page = format!("http://{address}/login");
    browser.goto(&page).await;
    look(&browser, "start").await;
    browser.click("button").await;
    browser.wait_for_text("Waiting for you to confirm").await;
    look(&browser, "waiting").await;
    browser
        .wait_until("document.querySelector('time').textContent.match(/^[0-9]:[0-5][0-9]$/)")
        .await;
    emulator.cancel(&emulator.sessions()[0].token).unwrap();
    browser.wait_for_text("You cancelled the login").await;
    look(&browser, "cancelled").await;
    browser.click("button").await;
    browser.wait_for_text("Waiting for you to confirm").await;
    emulator.expire(&emulator.sessions()[0].token).unwrap();
    browser.wait_for_text("The login has expired").await;
    look(&browser, "expired").await;
    browser.run_scripts(false).await; // The script would finish the login.
    browser.click("button").await;
    browser.wait_for_text("Waiting for you to confirm").await;
    let token = emulator.sessions()[0].token.clone();
    emulator.confirm(&token, Persona::default()).unwrap();
    browser.wait_for_text("Confirmed").await; // by its own refresh
    let of_login = browser.value_of("location.href").await;
    browser.run_scripts(true).await; // for axe-core
    look(&browser, "confirmed").await;
    emulator.use_proof(&token).unwrap();
    browser.goto(of_login.as_str().unwrap()).await;
    browser.wait_for_text("This login is finished").await;
    look(&browser, "used").await;
    emulator.delete_project(PROJECT).unwrap();
    browser.click("button").await;
    browser.wait_for_text("not possible right now").await;
    assert_eq!(browser.complaints().await.len(), 1, "the status 502");
    look(&browser, "unavailable").await;
}

#[tokio::test]
async fn a_browser_without_scripts_signs_in() {
    within_a_minute(async {
        let (address, emulator) = serve(Duration::from_secs(600)).await;
        let Some(browser) = Browser::open_without_scripts().await else { return };
        browser.goto(&format!("http://{address}/login")).await;
        browser.click("button").await;
        browser.wait_for_text("Waiting for you to confirm").await;
        let fatima = Persona::samples().into_iter().find(|it| it.telegram_name.contains('ف'));
        emulator.confirm(&emulator.sessions()[0].token, fatima.unwrap()).unwrap();
        browser.wait_for_text("Confirmed").await; // by its own refresh
        picture(&browser, "confirmed", Device::SCREEN, "screen").await;
        picture(&browser, "confirmed", Device::PHONE.dark(), "dark-phone").await;
        browser.click("#finish button").await;
        browser.wait_until("location.search == '?100000005'").await;
    })
    .await;
}
