//! The web app as its users see it: a browser that signs in, and a phone that says so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::{path::Path, time::Duration};

use bondify_emulator::Persona;
use example_support::browser::{Browser, Device};

use crate::rig::{LONG, Rig};

/// Presses the button, and opens on the phone what the page links to.
async fn begin(rig: &Rig) -> Option<(Browser, Browser)> {
    let (browser, phone) = (Browser::open().await?, Browser::open().await?);
    phone.show_on(Device::PHONE).await;
    browser.goto(&format!("http://{}/", rig.app)).await;
    browser.click("form[action='/login'] button").await;
    browser.wait_for_text("Waiting for you to confirm").await;
    let link = browser.value_of("document.querySelector('a[target=_blank]').href").await;
    phone.goto(link.as_str().unwrap()).await;
    phone.wait_for_text("Login example wants to log you in").await;
    Some((browser, phone))
}

#[tokio::test]
async fn confirming_on_the_phone_signs_the_browser_in_by_itself() {
    let rig = Rig::start(LONG).await;
    let Some((browser, phone)) = begin(&rig).await else { return };
    let bobby = Persona::samples().into_iter().find(|it| it.telegram_name.contains('<')).unwrap();
    phone.click(&format!("input[value='{}']", bobby.telegram_id)).await;
    phone.click("button[value=confirm]").await;
    phone.wait_for_text("You can go back to the app").await;
    let welcome = format!("Welcome, {}", bobby.telegram_name);
    browser.wait_for_text(&welcome).await;
    browser.wait_for_text(&bobby.telegram_id).await;

    phone.goto(&format!("http://{}/", rig.app)).await;
    phone.wait_for_text("You are not signed in").await;
    browser.click("form[action='/logout'] button").await;
    browser.wait_for_text("You are not signed in").await;
}

#[tokio::test]
async fn the_browser_shows_that_the_phone_has_cancelled() {
    let rig = Rig::start(LONG).await;
    let Some((browser, phone)) = begin(&rig).await else { return };
    phone.click("button[value=cancel]").await;
    browser.wait_for_text("You cancelled the login").await;
    browser.click("form[action='./login'] button").await;
    browser.wait_for_text("Waiting for you to confirm").await;
    assert_eq!(rig.emulator.sessions().len(), 2, "a session for each try");
}

#[tokio::test]
async fn an_ignored_login_expires_on_the_open_page() {
    let rig = Rig::start(Duration::from_secs(3)).await;
    let Some(browser) = Browser::open().await else { return };
    browser.goto(&format!("http://{}/", rig.app)).await;
    browser.click("form[action='/login'] button").await;
    browser.wait_for_text("The login has expired").await;
    assert!(browser.text().await.contains("Try again"));
}

#[tokio::test]
async fn the_pages_are_accessible_on_each_device() {
    let rig = Rig::start(LONG).await;
    let Some((browser, phone)) = begin(&rig).await else { return };
    for (device, name) in [
        (Device::SCREEN, "screen"),
        (Device::SCREEN.dark(), "dark-screen"),
        (Device::PHONE, "phone"),
        (Device::PHONE.dark(), "dark-phone"),
    ] {
        browser.show_on(device).await;
        let picture = format!("{}/login-{name}.png", env!("CARGO_TARGET_TMPDIR"));
        browser.screenshot(Path::new(&picture)).await;
        assert_eq!(browser.barriers().await, [""; 0], "waiting on a {name}");
    }
    phone.click("button[value=confirm]").await;
    browser.wait_for_text("Welcome, ").await;
    assert_eq!(browser.barriers().await, [""; 0], "signed in");
    browser.click("form[action='/logout'] button").await;
    browser.wait_for_text("You are not signed in").await;
    assert_eq!(browser.barriers().await, [""; 0], "signed out");
}
