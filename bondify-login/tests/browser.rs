//! The page in a browser: each state on each device, checked with axe-core.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, path::Path};

use axum::{Router, response::Redirect};
use bondify_axum::login::{Login, LoginExt, SignedIn, Texts};
use bondify_client::Client;
use bondify_core::Bondify;
use bondify_emulator::{Emulator, Persona, ProjectSettings};
use bondify_testkit::within_a_minute;
use example_support::browser::{Browser, Device};
use tokio::net::TcpListener;

const PROJECT: &str = "proj_login";

async fn serve(language: &str) -> (SocketAddr, Emulator) {
    let project =
        ProjectSettings::new().id(PROJECT).name("Shop").public_access(true).bare_used(true);
    let emulator = Emulator::builder().project(project).start().await.unwrap();
    let secret = emulator.project(PROJECT).unwrap().secret();
    let bondify = Bondify::builder(secret).build().unwrap();
    let client = Client::builder().base_url(emulator.url()).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let login = Login::builder(client.sessions(PROJECT), &bondify)
        .origin(format!("http://{address}"))
        // A name from right to left in a page from left to right, and vice versa.
        .app_name(if language == "en" { "متجر الكتب" } else { "Corner Shop" })
        .languages([language])
        .build()
        .unwrap();
    let on_login = async |login: SignedIn| Redirect::to(&format!("/login?{}", login.user.id()));
    let app = Router::new().merge(login.routes("/login", on_login));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, emulator)
}

const TABLET: Device = Device { width: 768, height: 1024, dark: false };

/// Takes a picture on each device and asserts that axe-core finds no problem and that nothing is cut off.
async fn look(browser: &Browser, state: &str) {
    for (device, name) in [
        (Device::SCREEN, "screen"),
        (Device::SCREEN.dark(), "dark-screen"),
        (TABLET, "tablet"),
        (Device::PHONE, "phone"),
        (Device::PHONE.dark(), "dark-phone"),
    ] {
        picture(browser, state, device, name).await;
        assert_eq!(browser.barriers().await, [""; 0], "{state} on a {name}");
    }
    // 1280 pixels at a zoom of 400 %.
    browser.show_on(Device { width: 320, height: 256, dark: false }).await;
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.value_of(fits).await, true, "{state} at a high zoom");
    assert_eq!(complaints(browser).await, [""; 0], "{state}");
    browser.show_on(Device::SCREEN).await;
}

/// The messages in the browser's console, but for the one about the icon that the server does not have.
async fn complaints(browser: &Browser) -> Vec<String> {
    let all = browser.complaints().await.into_iter();
    all.filter(|message| !message.contains("favicon")).collect()
}

async fn picture(browser: &Browser, state: &str, device: Device, name: &str) {
    browser.show_on(device).await;
    let picture = format!("{}/sign-in-{state}-{name}.png", env!("CARGO_TARGET_TMPDIR"));
    browser.screenshot(Path::new(&picture)).await;
}

async fn look_at_each_state(language: &str) {
    let texts = Texts::in_language(language).unwrap();
    let (address, emulator) = serve(language).await;
    let Some(browser) = Browser::open().await else { return };
    let look = async |state| look(&browser, &format!("{language}-{state}")).await;
    let page = format!("http://{address}/login");
    browser.goto(&page).await;
    look("start").await;
    browser.click("button").await;
    browser.wait_for_text(&texts.waiting).await;
    look("waiting").await;
    browser
        .wait_until("document.querySelector('time').textContent.match(/^[0-9]:[0-5][0-9]$/)")
        .await;
    emulator.cancel(&emulator.sessions()[0].token).unwrap();
    browser.wait_for_text(&texts.cancelled).await;
    look("cancelled").await;
    browser.click("button").await;
    browser.wait_for_text(&texts.waiting).await;
    emulator.expire(&emulator.sessions()[0].token).unwrap();
    browser.wait_for_text(&texts.expired).await;
    look("expired").await;
    browser.run_scripts(false).await; // The script would finish the login.
    browser.click("button").await;
    browser.wait_for_text(&texts.waiting).await;
    let token = emulator.sessions()[0].token.clone();
    emulator.confirm(&token, Persona::default()).unwrap();
    browser.wait_for_text(&texts.confirmed).await; // by its own refresh
    let of_login = browser.value_of("location.href").await;
    browser.run_scripts(true).await; // for axe-core
    look("confirmed").await;
    browser.run_scripts(false).await; // An answer is shared for a second, and may say "confirmed".
    emulator.use_proof(&token).unwrap();
    within_a_minute(async {
        while !browser.text().await.contains(&*texts.used) {
            browser.goto(of_login.as_str().unwrap()).await;
        }
    })
    .await;
    browser.run_scripts(true).await;
    look("used").await;
    emulator.delete_project(PROJECT).unwrap();
    browser.click("button").await;
    browser.wait_for_text(&texts.unavailable).await;
    assert_eq!(complaints(&browser).await.len(), 1, "the status 502");
    look("unavailable").await;
    browser.goto(&page.replace("127.0.0.1", "localhost")).await;
    browser.click("button").await;
    browser.wait_for_text(&texts.other_origin).await;
    assert_eq!(complaints(&browser).await.len(), 1, "the status 403");
    look("other_origin").await;
}

#[tokio::test]
async fn each_state_is_shown_on_each_device() {
    look_at_each_state("en").await;
}

#[tokio::test]
async fn each_state_is_shown_from_right_to_left() {
    look_at_each_state("fa").await;
}

#[tokio::test]
async fn a_phone_shows_the_link_first_and_a_computer_the_code() {
    let (address, _emulator) = serve("en").await;
    let Some(browser) = Browser::open().await else { return };
    if !browser.is_chromium() {
        return; // Firefox does not become as narrow as a phone.
    }
    browser.goto(&format!("http://{address}/login")).await;
    browser.click("button").await;
    browser.wait_for_text("Or open Telegram on this computer").await;
    let is_shown =
        "document.querySelector('.code svg').checkVisibility({contentVisibilityAuto: true})";
    let top = |selector: &str| {
        format!("document.querySelector('{selector}').getBoundingClientRect().top")
    };
    let code_is_first = format!("{} < {}", top(".code svg"), top(".open"));
    assert_eq!(browser.value_of(&format!("{is_shown} && {code_is_first}")).await, true);
    let label = "document.querySelector('time').ariaLabel.match(/^[0-9]+ minutes$/) !== null";
    assert_eq!(browser.value_of(label).await, true, "a screen reader says minutes");

    browser.show_on(Device::PHONE).await;
    browser.wait_for_text("Use another device").await;
    browser.wait_until("!document.querySelector('details').open").await;
    browser.click("summary").await;
    assert_eq!(browser.value_of(&format!("{is_shown} && !({code_is_first})")).await, true);
}

#[tokio::test]
async fn a_browser_without_scripts_signs_in() {
    within_a_minute(async {
        let (address, emulator) = serve("en").await;
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
