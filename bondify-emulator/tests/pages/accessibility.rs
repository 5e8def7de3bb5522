use std::path::Path;

use bondify_emulator::{Emulator, Fault, Plan, ProjectSettings};
use example_support::browser::{Browser, Device};

use crate::support::{Receiver, SHOP, shop, soon};

/// An emulator with an item of every kind, and the addresses of all its pages.
async fn exhibition(receiver: &Receiver) -> (Emulator, Vec<(&'static str, String)>) {
    let emulator = Emulator::builder().retries(1).project(shop().webhook_url(receiver.url()));
    let emulator = emulator.start().await.unwrap();
    let failing = ProjectSettings::new().id("proj_failing").name("Corner Shop").plan(Plan::Pro);
    emulator.add_project(failing.webhook_url(receiver.url_of(503))).unwrap();
    let [pending, confirmed, cancelled, expired] =
        [(); 4].map(|()| emulator.generate(SHOP).unwrap().token);
    emulator.confirm(&confirmed, Default::default()).unwrap();
    soon(emulator.delivery_of(&confirmed)).await.unwrap();
    emulator.cancel(&cancelled).unwrap();
    emulator.expire(&expired).unwrap();
    emulator.set_faults(SHOP, [Fault::TamperedBody, Fault::Duplicate]).unwrap();
    emulator.send_test_event(SHOP, "auth.confirmed").unwrap();
    emulator.send_test_event("proj_failing", "auth.confirmed").unwrap();
    emulator.add_project(ProjectSettings::new().id("proj_new")).unwrap();
    let bot = |token: &str| format!("/bot?start={token}");
    let addresses = vec![
        ("bot", bot(&pending)),
        ("bot-confirmed", bot(&confirmed)),
        ("bot-cancelled", bot(&cancelled)),
        ("bot-expired", bot(&expired)),
        ("bot-unknown", bot("sess_unknown")),
        ("deliveries-empty", "/?project=proj_new".to_owned()),
        ("deliveries", "/".to_owned()),
        ("delivery", "/?delivery=dlv_1".to_owned()),
        ("sessions", "/?tab=sessions".to_owned()),
        ("settings", format!("/?tab=settings&project={SHOP}")),
    ];
    (emulator, addresses)
}

/// Opens every page on this device, and saves a picture of each.
async fn pages_are_accessible(device: Device, name: &str) {
    let receiver = Receiver::start().await;
    let (emulator, addresses) = exhibition(&receiver).await;
    let Some(browser) = Browser::open().await else { return };
    browser.show_on(device).await;
    for (page, address) in addresses {
        browser.goto(&format!("{}{address}", emulator.url())).await;
        let picture = format!("{}/{page}-{name}.png", env!("CARGO_TARGET_TMPDIR"));
        browser.screenshot(Path::new(&picture)).await;
        assert_eq!(browser.barriers().await, [""; 0], "{address} on a {name}");
    }
}

#[tokio::test]
async fn pages_are_accessible_on_a_screen() {
    pages_are_accessible(Device::SCREEN, "screen").await;
}

#[tokio::test]
async fn pages_are_accessible_on_a_dark_screen() {
    pages_are_accessible(Device::SCREEN.dark(), "dark-screen").await;
}

#[tokio::test]
async fn pages_are_accessible_on_a_phone() {
    pages_are_accessible(Device::PHONE, "phone").await;
}

#[tokio::test]
async fn pages_are_accessible_on_a_dark_phone() {
    pages_are_accessible(Device::PHONE.dark(), "dark-phone").await;
}
