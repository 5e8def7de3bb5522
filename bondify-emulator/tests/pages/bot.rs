use std::time::Duration;

use bondify_emulator::{Emulator, Persona, SessionStatus};
use example_support::browser::{Browser, Device};
use serde_json::Value;

use crate::support::{DEVICES, NAME, Receiver, SHOP, picture, shop, start};

/// The address of the bot page that an app gets.
async fn deeplink(emulator: &Emulator) -> (String, String) {
    let generate = reqwest::Client::new()
        .post(format!("{}/api/v1/generate/public", emulator.url()))
        .body(format!(r#"{{"project_id":"{SHOP}"}}"#));
    let answer = generate.send().await.unwrap().text().await.unwrap();
    let session: Value = serde_json::from_str(&answer).unwrap();
    let text = |name: &str| session[name].as_str().unwrap().to_owned();
    (text("deeplink"), text("session_token"))
}

#[tokio::test]
async fn a_sample_user_logs_in() {
    let mut receiver = Receiver::start().await;
    let emulator = Emulator::builder().project(shop().webhook_url(receiver.url()));
    let emulator = emulator.start().await.unwrap();
    let (deeplink, token) = deeplink(&emulator).await;
    let Some(browser) = Browser::open().await else { return };
    browser.show_on(Device::PHONE).await;
    browser.goto(&deeplink).await;
    browser.wait_for_text(&format!("{NAME} wants to log you in")).await;
    for persona in Persona::samples() {
        browser.wait_for_text(&persona.telegram_name).await;
    }

    let fatima = Persona::samples().into_iter().find(|p| p.telegram_name.contains('ف')).unwrap();
    browser.click(&format!("input[value='{}']", fatima.telegram_id)).await;
    browser.click("button[value=confirm]").await;
    browser.wait_for_text("You can go back to the app").await;
    browser.wait_for_text(&fatima.telegram_name).await;
    assert_eq!(emulator.session(&token).unwrap().confirmation().unwrap().persona, fatima);
    assert!(receiver.next().await.body.contains(&fatima.telegram_name));
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_described_user_logs_in() {
    let emulator = start(Emulator::builder()).await;
    let (deeplink, token) = deeplink(&emulator).await;
    let Some(browser) = Browser::open().await else { return };
    browser.show_on(Device::PHONE).await;
    browser.goto(&deeplink).await;
    browser.value_of("document.getElementById('own').scrollIntoView({ block: 'center' })").await;
    browser.click("#own").await;
    browser.fill("#own-id", "42").await;
    browser.fill("#own-name", "Zoë & Co").await;
    browser.fill("#own-phone", "+1 555").await;
    assert_eq!(browser.barriers().await, [""; 0]);
    browser.click("button[value=confirm]").await;
    browser.wait_for_text("You can go back to the app").await;
    let persona = emulator.session(&token).unwrap().confirmation().unwrap().persona.clone();
    assert_eq!(persona, Persona::new("42", "Zoë & Co").phone("+1 555"));
}

#[tokio::test]
async fn a_pending_login_has_a_qr_code_of_its_link() {
    let emulator = start(Emulator::builder()).await;
    let (link, token) = deeplink(&emulator).await;
    let page = async |link: &str| reqwest::get(link).await.unwrap().text().await.unwrap();
    let qr = |link: &str| {
        let code =
            qrcode::QrCode::new(link).unwrap().render::<qrcode::render::svg::Color>().build();
        code.split_once("<svg").unwrap().1.to_owned()
    };
    assert!(page(&link).await.contains(&qr(&link)));
    // The link has the name by which the browser reaches the emulator.
    let other = link.replace("127.0.0.1", "localhost");
    assert!(page(&other).await.contains(&qr(&other)));
    emulator.cancel(&token).unwrap();
    assert!(!page(&link).await.contains("<svg"));

    let (link, _) = deeplink(&emulator).await;
    let Some(browser) = Browser::open().await else { return };
    for (name, device) in DEVICES {
        browser.show_on(device).await;
        browser.goto(&link).await;
        browser
            .value_of("(document.getElementById('other-device').open = true, scrollTo(0, 9999))")
            .await;
        browser.wait_for_text(&link).await;
        picture(&browser, &format!("bot-qr-{name}")).await;
        assert_eq!(browser.barriers().await, [""; 0]);
    }
}

#[tokio::test]
async fn a_refused_persona_keeps_its_input() {
    let emulator = start(Emulator::builder()).await;
    let (deeplink, token) = deeplink(&emulator).await;
    let fields = [
        ("#own-id", "x42"),
        ("#own-name", "Zoë \"& Co"),
        ("#own-username", "zoe"),
        ("#own-phone", "+1"),
    ];
    let browsers = [Browser::open().await, Browser::open_without_scripts().await];
    for browser in browsers.iter().flatten() {
        browser.show_on(Device { height: 2000, ..Device::PHONE }).await;
        browser.goto(&deeplink).await;
        browser.click("label:has(#own)").await;
        for (selector, text) in fields {
            browser.fill(selector, text).await;
        }
        browser.click("button[value=confirm]").await;
        let refusal = browser.find("#refusal").await.text().await.unwrap();
        assert!(refusal.contains("telegram_id must be a string of decimal digits"), "{refusal}");
        browser.find("#own:checked").await;
        for (selector, text) in fields {
            let kept = browser.find(selector).await.prop("value").await.unwrap();
            assert_eq!(kept.as_deref(), Some(text), "{selector}");
        }
    }
    let [Some(browser), Some(plain)] = browsers else { return };
    for (name, device) in DEVICES {
        browser.show_on(device).await;
        browser.value_of("scrollTo(0, 0)").await;
        picture(&browser, &format!("bot-refused-{name}")).await;
        assert_eq!(browser.barriers().await, [""; 0], "{name}");
    }
    plain.fill("#own-id", "42").await;
    plain.click("button[value=confirm]").await;
    plain.find(".result.good").await;
    let persona = emulator.session(&token).unwrap().confirmation().unwrap().persona.clone();
    assert_eq!(persona, Persona::new("42", "Zoë \"& Co").username("zoe").phone("+1"));
}

#[tokio::test]
async fn a_login_is_cancelled() {
    let emulator = start(Emulator::builder()).await;
    let (deeplink, token) = deeplink(&emulator).await;
    let Some(browser) = Browser::open().await else { return };
    browser.goto(&deeplink).await;
    browser.click("button[value=cancel]").await;
    browser.wait_for_text("You cancelled the login").await;
    let status = emulator.session(&token).unwrap().status;
    assert!(matches!(status, SessionStatus::Cancelled { .. }));
}

#[tokio::test]
async fn a_decision_made_elsewhere_is_shown() {
    let emulator = start(Emulator::builder()).await;
    let (deeplink, token) = deeplink(&emulator).await;
    let Some(browser) = Browser::open().await else { return };
    browser.goto(&deeplink).await;
    emulator.cancel(&token).unwrap();
    browser.click("button[value=confirm]").await;
    browser.wait_for_text("You cancelled the login").await;
    emulator.reset();
    browser.goto(&deeplink).await;
    browser.wait_for_text("there is no such session").await;
}

#[tokio::test]
async fn an_open_page_sees_the_session_expire() {
    let emulator = start(Emulator::builder().session_lifetime(Duration::from_secs(3))).await;
    let Some(browser) = Browser::open().await else { return };
    browser.goto(&deeplink(&emulator).await.0).await;
    browser.wait_for_text("This request has expired").await;
}
