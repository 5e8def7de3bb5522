use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode};
use bondify_emulator::{Emulator, Fault, Persona, Plan, Project, ProjectSettings};
use example_support::browser::{Browser, Device};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::support::{DEVICES, Receiver, SHOP, inspect, picture, shop, soon, start, until_shop};

/// An emulator that delivers to `receiver`.
async fn delivering_to(url: &str) -> Emulator {
    Emulator::builder().project(shop().webhook_url(url)).start().await.unwrap()
}

async fn rows(browser: &Browser) -> usize {
    let rows = browser.value_of("document.querySelectorAll('#deliveries li').length").await;
    usize::try_from(rows.as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn the_inspector_shows_a_login_as_it_happens() {
    let receiver = Receiver::start().await;
    let emulator = delivering_to(receiver.url()).await;
    let Some(browser) = inspect(&emulator, "").await else { return };
    browser.wait_for_text("Nothing delivered yet").await;
    let session = emulator.generate(SHOP).unwrap();
    browser.wait_for_text(&session.token).await;
    browser.click(&format!("#pending-confirm-{}", session.token)).await;
    let delivery = soon(emulator.delivery_of(&session.token)).await.unwrap();
    browser.wait_until(&format!("document.querySelector('#{} .delivered')", delivery.id)).await;
    browser.wait_until("!document.querySelector('#pending li')").await;
    let row = browser.find(&format!("#{}", delivery.id)).await.text().await.unwrap();
    for text in ["auth.confirmed", "200", "1/4", " ms"] {
        assert!(row.contains(text), "{text} in {row}");
    }
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn an_open_delivery_shows_every_byte_of_every_attempt() {
    let receiver = Receiver::start().await;
    let emulator = Emulator::builder().retries(1).retry_base(Duration::from_secs(3));
    let emulator =
        emulator.project(shop().webhook_url(receiver.url_of(503))).start().await.unwrap();
    let Some(browser) = inspect(&emulator, "").await else { return };
    let session = emulator.generate(SHOP).unwrap();
    let bobby = Persona::samples().into_iter().next_back().unwrap();
    emulator.confirm(&session.token, bobby).unwrap();
    browser.click("#open-dlv_1").await;
    browser.wait_until("document.querySelector('#attempt-1')").await;
    let delivery = soon(emulator.delivery_of(&session.token)).await.unwrap();
    browser.wait_until("document.querySelector('#attempt-2')").await;
    browser.wait_until("document.querySelector('#detail .badge.failed')").await;
    let exact = browser.value_of("document.getElementById('exact').textContent").await;
    assert_eq!(exact, delivery.body);
    let text = browser.text().await;
    for part in [
        &*delivery.signature,
        "x-bondify-signature",
        "user-agent",
        "text/html",
        "<b>Thank you</b>",
        "Attempt 1 503",
        "Attempt 2 503",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(browser.value_of("document.querySelectorAll('b').length").await, 0);
    let url = browser.value_of("location.search").await;
    assert_eq!(url, format!("?delivery={}", delivery.id));
}

/// A URL that answers 503 with another body each time, and 200 the third time.
async fn recovering() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let count = Arc::new(AtomicU16::new(0));
    let answer = async move || {
        let attempt = count.fetch_add(1, Ordering::Relaxed) + 1;
        let status = if attempt < 3 { 503 } else { 200 };
        let body = format!(r#"{{"shop":"<b>Corner</b>","attempt":{attempt}}}"#);
        let headers = [("content-type", "application/json"), ("x-same", "same")];
        (StatusCode::from_u16(status).unwrap(), headers, body)
    };
    let router = Router::new().fallback(answer);
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    url
}

#[tokio::test]
async fn attempts_are_compared_side_by_side_and_in_a_time_line() {
    let project = shop().webhook_url(recovering().await);
    let emulator = Emulator::builder().retry_base(Duration::from_millis(100)).project(project);
    let emulator = emulator.start().await.unwrap();
    let session = emulator.generate(SHOP).unwrap();
    emulator.confirm(&session.token, Persona::default()).unwrap();
    soon(emulator.delivery_of(&session.token)).await.unwrap();
    let Some(browser) = inspect(&emulator, "?delivery=dlv_1").await else { return };
    let starts = "[...document.querySelectorAll('#time-line rect')].map((bar) => Number(bar.getAttribute('x')))";
    let starts: Vec<u64> = serde_json::from_value(browser.value_of(starts).await).unwrap();
    assert!(starts.len() == 3 && starts.is_sorted() && starts[2] > starts[0], "{starts:?}");
    let line = browser.find("#time-line").await.text().await.unwrap();
    assert!(line.contains("503 in") && line.contains("200 in"), "{line}");

    browser.click("#compare summary").await;
    let table = "[...document.querySelectorAll('#compare tbody tr')].map((row) => row.innerText)";
    let rows: Vec<String> = serde_json::from_value(browser.value_of(table).await).unwrap();
    assert_eq!(rows[0], "Answer\t503\t503\t200");
    let body = rows.last().unwrap();
    assert!(body.starts_with("Body") && body.contains("\"attempt\": 3"), "{body}");
    assert!(!body.contains("Corner") && !rows.iter().any(|row| row.starts_with("x-same")));
    let changed = "document.querySelectorAll('#compare tr:first-child mark').length";
    assert_eq!(browser.value_of(changed).await, 1);
    for (name, device) in DEVICES {
        browser.show_on(device).await;
        browser.value_of("document.getElementById('time-line').scrollIntoView()").await;
        picture(&browser, &format!("compare-{name}")).await;
        assert_eq!(browser.barriers().await, [""; 0], "{name}");
        let fits = browser.value_of("document.documentElement.scrollWidth <= innerWidth").await;
        assert_eq!(fits, true, "{name}");
    }
}

#[tokio::test]
async fn an_open_delivery_is_updated() {
    let endpoint = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", endpoint.local_addr().unwrap());
    let emulator = Emulator::builder().timeout(Duration::from_secs(300));
    let emulator = emulator.project(shop().webhook_url(url)).start().await.unwrap();
    let Some(browser) = inspect(&emulator, "").await else { return };
    emulator.send_test_event(SHOP, "auth.confirmed").unwrap();
    let (mut connection, _) = soon(endpoint.accept()).await.unwrap();
    browser.click("#open-dlv_1").await;
    browser.wait_until("document.querySelector('#detail .badge.sending')").await;
    connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    browser.wait_until("document.querySelector('#detail .badge.delivered')").await;
    browser.wait_until("document.querySelector('#attempt-1')").await;
}

#[tokio::test]
async fn keys_find_open_resend_and_close() {
    let mut receiver = Receiver::start().await;
    let emulator = delivering_to(receiver.url()).await;
    for event in ["auth.confirmed", "auth.cancelled"] {
        let delivery = emulator.send_test_event(SHOP, event).unwrap();
        soon(emulator.finished(delivery.id)).await.unwrap();
    }
    let [first, second] = [receiver.next().await, receiver.next().await];
    let Some(browser) = inspect(&emulator, "").await else { return };
    browser.press("jjk").await;
    browser.press("j").await;
    browser.press("\u{e007}").await; // Enter
    browser.wait_until("document.querySelector('#detail[data-delivery=dlv_1]')").await;
    browser.press("r").await;
    assert_eq!(receiver.next().await, first);
    assert_ne!(first, second);
    browser.wait_until("document.querySelector('#dlv_3 .delivered')").await;
    browser.wait_for_text("Resent").await;
    browser.press("\u{e00c}").await; // Escape
    browser.wait_until("!document.querySelector('#detail *')").await;
    browser.wait_until("document.activeElement.id === 'open-dlv_3'").await;
    browser.press("/").await;
    browser.press("cancelled").await;
    browser.wait_until("document.querySelectorAll('#deliveries li').length === 1").await;
    browser.wait_until("location.search === '?text=cancelled'").await;
}

#[tokio::test]
async fn a_filter_also_applies_to_new_deliveries() {
    let receiver = Receiver::start().await;
    let emulator = delivering_to(receiver.url()).await;
    let Some(browser) = inspect(&emulator, "?event=auth.cancelled&outcome=delivered").await else {
        return;
    };
    let send = async |event| {
        let delivery = emulator.send_test_event(SHOP, event).unwrap();
        soon(emulator.finished(delivery.id)).await.unwrap();
    };
    send("auth.confirmed").await;
    send("auth.cancelled").await;
    browser.wait_until("document.querySelector('#dlv_2')").await;
    assert_eq!(rows(&browser).await, 1);
    browser.click("select[name=event] option[value='']").await;
    browser.wait_until("document.querySelector('#dlv_1')").await;
}

#[tokio::test]
async fn the_newest_are_kept() {
    let receiver = Receiver::start().await;
    let builder = Emulator::builder().keep_deliveries(5);
    let emulator = builder.project(shop().webhook_url(receiver.url())).start().await.unwrap();
    let Some(browser) = inspect(&emulator, "").await else { return };
    for _ in 0..8 {
        let delivery = emulator.send_test_event(SHOP, "auth.confirmed").unwrap();
        soon(emulator.finished(delivery.id)).await.unwrap();
    }
    browser.wait_until("document.querySelector('#dlv_8 .delivered')").await;
    let ids =
        browser.value_of("[...document.querySelectorAll('#deliveries li')].map((row) => row.id)");
    assert_eq!(ids.await, serde_json::json!(["dlv_8", "dlv_7", "dlv_6", "dlv_5", "dlv_4"]));
}

#[tokio::test]
async fn rows_show_the_user_and_the_session() {
    let receiver = Receiver::start().await;
    let emulator = delivering_to(receiver.url()).await;
    let Some(browser) = inspect(&emulator, "").await else { return };
    let session = emulator.generate(SHOP).unwrap();
    emulator.confirm(&session.token, Persona::new("1", "Grace Hopper")).unwrap();
    browser.wait_until("document.querySelector('#dlv_1 .delivered')").await;
    let row = browser.find("#dlv_1").await.text().await.unwrap();
    let end = &session.token[session.token.len() - 6..];
    assert!(row.contains("Grace Hopper") && row.contains(&format!("sess_…{end}")), "{row}");
    let heads = browser.find("#deliveries-section .heads").await.text().await.unwrap();
    assert!(heads.contains("User") && heads.contains("Answer"), "{heads}");
}

#[tokio::test]
async fn parts_of_a_delivery_are_copied_as_they_were_sent() {
    let mut receiver = Receiver::start().await;
    let emulator = delivering_to(receiver.url()).await;
    let session = emulator.generate(SHOP).unwrap();
    emulator.confirm(&session.token, Persona::new("1", "Ada's \u{202e}name")).unwrap();
    let delivery = soon(emulator.delivery_of(&session.token)).await.unwrap();
    let first = receiver.next().await;
    let Some(browser) = inspect(&emulator, "?delivery=dlv_1").await else { return };
    browser
        .value_of("navigator.clipboard.writeText = async (text) => { window.copied = text }")
        .await;
    let copied = async |selector: &str| {
        browser.value_of("delete window.copied").await;
        browser.click(selector).await;
        browser.wait_until("window.copied").await;
        browser.value_of("window.copied").await.as_str().unwrap().to_owned()
    };
    assert_eq!(copied("#copy-body").await, delivery.body);
    assert_eq!(copied("#copy-signature").await, delivery.signature);
    assert_eq!(copied("[data-copy^=sess_]").await, session.token);
    let curl = copied("#copy-curl").await;
    // The receiver runs on this thread.
    let command = curl.clone();
    let run = move || std::process::Command::new("sh").args(["-c", &command]).output();
    let ran = soon(tokio::task::spawn_blocking(run)).await.unwrap().unwrap();
    assert!(ran.status.success(), "{curl}");
    assert_eq!(receiver.next().await, first, "{curl}");
    let Some(browser) = inspect(&emulator, "?tab=settings").await else { return };
    browser
        .value_of("navigator.clipboard.writeText = async (text) => { window.copied = text }")
        .await;
    browser.click("#reveal-secret").await;
    browser.click("#copy-secret").await;
    browser.wait_until("window.copied").await;
    let secret = browser.value_of("window.copied").await;
    assert_eq!(secret, emulator.project(SHOP).unwrap().reveal_secret());
}

#[tokio::test]
async fn a_delivery_is_resent_to_another_url_with_another_body() {
    let mut receiver = Receiver::start().await;
    let emulator = delivering_to(&receiver.url_of(503)).await;
    emulator.update_project(SHOP, ProjectSettings::new().plan(Plan::Hobby)).unwrap();
    let sent = emulator.send_test_event(SHOP, "auth.confirmed").unwrap();
    let first = receiver.next().await;
    let Some(browser) = inspect(&emulator, "?delivery=dlv_1").await else { return };
    browser.click("#edit summary").await;
    browser.fill("#edit-url", "ftp://127.0.0.1/").await;
    browser.click("#resend-changed").await;
    browser.wait_for_text("webhook_url must be https://").await;
    let kept = browser.value_of("document.getElementById('edit-url').value").await;
    assert_eq!(kept, "ftp://127.0.0.1/", "the form keeps its input after a mistake");
    browser.fill("#edit-url", receiver.url()).await;
    browser.fill("#edit-body", r#"{"event":"auth.edited","session_token":"s"}"#).await;
    browser.click("#resend-changed").await;
    browser.wait_until("document.querySelector('#detail[data-delivery=dlv_2] .delivered')").await;
    let edited = loop {
        let next = receiver.next().await;
        if next.body != first.body {
            break next;
        }
    };
    let secret = emulator.project(SHOP).unwrap().secret();
    assert_eq!(edited.signature, secret.sign(edited.body.as_bytes()).to_string());
    assert_eq!(edited.body, r#"{"event":"auth.edited","session_token":"s"}"#);
    assert_eq!(emulator.deliveries()[0].event, "auth.edited");
    assert_ne!(emulator.deliveries()[0].url, sent.url);
}

#[tokio::test]
async fn all_failed_deliveries_are_resent() {
    let receiver = Receiver::start().await;
    let emulator = Emulator::builder().retries(0);
    let project = shop().webhook_url(receiver.url_of(500));
    let emulator = emulator.project(project).start().await.unwrap();
    let Some(browser) = inspect(&emulator, "").await else { return };
    for _ in 0..2 {
        let sent = emulator.send_test_event(SHOP, "auth.confirmed").unwrap();
        soon(emulator.finished(sent.id)).await.unwrap();
    }
    emulator.update_project(SHOP, ProjectSettings::new().webhook_url(receiver.url())).unwrap();
    browser.wait_until("document.querySelectorAll('#deliveries .failed').length === 2").await;
    browser.click("#resend-failed button").await;
    browser.wait_until("document.querySelector('#dlv_3 .delivered')").await;
    browser.wait_until("document.querySelector('#dlv_4 .delivered')").await;
    assert_eq!(rows(&browser).await, 4);
}

#[tokio::test]
async fn sessions_are_filtered() {
    let emulator = start(Emulator::builder()).await;
    let [ada, grace] = ["Ada", "Grace"].map(|name| {
        let session = emulator.generate(SHOP).unwrap();
        emulator.confirm(&session.token, Persona::new("1", name)).unwrap();
        session.token
    });
    let Some(browser) = inspect(&emulator, "?tab=sessions").await else { return };
    let count =
        |count| format!("document.querySelectorAll('#sessions .session').length === {count}");
    browser.wait_until(&count(2)).await;
    browser.press("/").await;
    browser.press("grace").await;
    browser.wait_until(&count(1)).await;
    browser.wait_until(&format!("document.getElementById('sessions-{grace}')")).await;
    browser.fill("#text", &ada).await;
    browser.wait_until(&format!("document.getElementById('sessions-{ada}')")).await;
    browser.fill("#text", "nobody").await;
    browser.wait_for_text("No session matches the filter").await;
}

#[tokio::test]
async fn every_one_of_eight_tabs_is_live() {
    let receiver = Receiver::start().await;
    let emulator = delivering_to(receiver.url()).await;
    let Some(browser) = inspect(&emulator, "").await else { return };
    browser
        .value_of(
            "(window.tabs = [window, ...Array.from({length: 8}, () => open(location))]).length",
        )
        .await;
    let every = |condition: &str| format!("tabs.every(({{ document }}) => {condition})");
    browser.wait_until(&every("document.getElementById('link')?.dataset.state === 'on'")).await;
    for number in 1..=3 {
        let delivery = emulator.send_test_event(SHOP, "auth.confirmed").unwrap();
        soon(emulator.finished(delivery.id)).await.unwrap();
        browser
            .wait_until(&every(&format!("document.querySelector('#dlv_{number} .delivered')")))
            .await;
    }
    // The page that listens for changes is closed, and another one does.
    browser.value_of("tabs.splice(1, 4).forEach((tab) => tab.close())").await;
    browser.goto(&format!("{}/?text=dlv", emulator.url())).await;
    emulator.send_test_event(SHOP, "auth.cancelled").unwrap();
    browser.wait_until("document.querySelector('#dlv_4 .delivered')").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn missed_changes_are_shown_after_a_reconnect() {
    let receiver = Receiver::start().await;
    let emulator = delivering_to(receiver.url()).await;
    let port = emulator.address().port();
    let Some(browser) = inspect(&emulator, "").await else { return };
    emulator.stop().await;
    browser.wait_for_text("reconnecting").await;
    let again = Emulator::builder().port(port).project(shop().webhook_url(receiver.url()));
    let emulator = again.start().await.unwrap();
    emulator.send_test_event(SHOP, "auth.caught_up").unwrap();
    browser.wait_for_text("auth.caught_up").await;
    browser.wait_until("document.getElementById('link').dataset.state === 'on'").await;
}

#[tokio::test]
async fn settings_are_saved() {
    let emulator = start(Emulator::builder()).await;
    let Some(browser) = inspect(&emulator, "?tab=settings").await else { return };
    const HOOK: &str = "http://127.0.0.1:9/hook";
    let has_the_hook = |project: &Project| project.webhook_url.as_ref().unwrap().as_str() == HOOK;

    browser.fill("#webhook-url", HOOK).await;
    browser.click("#save-webhook").await;
    until_shop(&emulator, |shop| shop.webhook_url.is_some()).await;
    browser.wait_for_text("Saved").await;
    assert!(has_the_hook(&emulator.project(SHOP).unwrap()));

    browser.fill("#webhook-url", "ftp://127.0.0.1/").await;
    browser.click("#save-webhook").await;
    browser.wait_for_text("webhook_url must be https://").await;
    assert!(has_the_hook(&emulator.project(SHOP).unwrap()));

    // The form sends all its fields: each click comes after the page shows the change before it.
    browser.click("#set-active").await;
    until_shop(&emulator, |shop| !shop.active).await;
    browser.wait_until("!document.getElementById('set-active').defaultChecked").await;
    browser.click("#set-public").await;
    until_shop(&emulator, |shop| !shop.public_access).await;
    browser.wait_until("!document.getElementById('set-public').defaultChecked").await;
    browser.click("#set-plan option[value=pro]").await;
    until_shop(&emulator, |shop| shop.plan == Plan::Pro).await;
    let shop = emulator.project(SHOP).unwrap();
    assert_eq!((shop.active, shop.public_access), (false, false));
    browser.wait_for_text("inactive").await;
}

#[tokio::test]
async fn faults_are_switched_on_and_off() {
    let emulator = start(Emulator::builder()).await;
    let Some(browser) = inspect(&emulator, "?tab=settings").await else { return };
    for (on, fault) in (1..).zip(Fault::ALL) {
        browser.click(&format!("#fault-{}", fault.name())).await;
        until_shop(&emulator, |shop| shop.faults.len() == on).await;
        browser.wait_for_text(&format!("{on} fault")).await;
    }
    assert_eq!(emulator.project(SHOP).unwrap().faults, Fault::ALL);
    browser.click("#fault-delay").await;
    until_shop(&emulator, |shop| shop.faults.len() == 8).await;
}

#[tokio::test]
async fn the_secret_is_shown_on_request() {
    let emulator = start(Emulator::builder()).await;
    let Some(browser) = inspect(&emulator, "?tab=settings").await else { return };
    let secret = || emulator.project(SHOP).unwrap().reveal_secret().to_owned();
    let before = secret();
    let is_there = async |secret: &str| {
        let html = browser.value_of("document.documentElement.outerHTML").await;
        html.as_str().unwrap().contains(secret)
    };
    assert!(!is_there(&before).await);
    browser.click("#reveal-secret").await;
    browser.wait_for_text(&before).await;
    browser.click("#regenerate summary").await;
    browser.click("#regenerate-secret").await;
    until_shop(&emulator, |shop| shop.reveal_secret() != before).await;
    browser.wait_for_text(&emulator.project(SHOP).unwrap().secret_preview()).await;
    browser.wait_until("document.getElementById('reveal-secret')").await;
    let after = secret();
    assert_ne!(after, before);
    assert!(!is_there(&after).await && !is_there(&before).await);
}

#[tokio::test]
async fn an_update_keeps_text_that_is_being_typed() {
    let emulator = start(Emulator::builder()).await;
    let Some(browser) = inspect(&emulator, "?tab=settings").await else { return };
    browser.fill("#webhook-url", "http://127.0.0.1:3").await;
    emulator.update_project(SHOP, ProjectSettings::new().plan(Plan::Business)).unwrap();
    browser.wait_until("document.getElementById('set-plan').value === 'business'").await;
    browser.press("000/").await;
    let url = browser.find("#webhook-url").await.prop("value").await.unwrap();
    assert_eq!(url.as_deref(), Some("http://127.0.0.1:3000/"));
}

#[tokio::test]
async fn the_first_project_is_created_on_the_page() {
    let emulator = Emulator::builder().start().await.unwrap();
    let Some(browser) = inspect(&emulator, "").await else { return };
    browser.fill("main input[name=name]", "Corner Shop").await;
    browser.click("main form.stack button").await;
    browser.wait_for_text("Set the webhook URL").await;
    assert_eq!(emulator.projects()[0].name, "Corner Shop");
}

#[tokio::test]
async fn a_phone_switches_projects_in_a_list() {
    let emulator = start(Emulator::builder()).await;
    for number in 1..=30 {
        let project = ProjectSettings::new().id(format!("proj_{number}"));
        let project = project.name(format!("Shop number {number}"));
        emulator.add_project(project).unwrap();
    }
    emulator.set_faults("proj_30", [Fault::Duplicate]).unwrap();
    let Some(browser) = inspect(&emulator, "?tab=settings").await else { return };
    let is_shown = |selector: &str| {
        format!("document.querySelector('{selector}').getClientRects().length > 0")
    };
    for (name, device) in DEVICES {
        browser.show_on(device).await;
        browser.goto(&format!("{}/?tab=settings&project=proj_29", emulator.url())).await;
        let is_phone = device.width == Device::PHONE.width;
        for (selector, expected) in [("#project-select", is_phone), ("#project-1", !is_phone)] {
            assert_eq!(browser.value_of(&is_shown(selector)).await, expected, "{selector} {name}");
        }
        picture(&browser, &format!("projects-{name}")).await;
        assert_eq!(browser.barriers().await, [""; 0], "{name}");
    }
    let selected = browser.value_of("document.getElementById('project-select').value").await;
    assert_eq!(selected, "proj_29");
    let options = browser.find("#project-select").await.text().await.unwrap();
    assert!(options.contains("Shop number 30 · 1 fault"), "{options}");
    browser.click("#project-select option[value=proj_30]").await;
    browser.wait_until("location.search === '?tab=settings&project=proj_30'").await;
    browser.wait_until("document.querySelector('#fault-duplicate:checked')").await;

    let Some(browser) = Browser::open_without_scripts().await else { return };
    browser.show_on(Device::PHONE).await;
    browser.goto(emulator.url()).await;
    browser.click("#project-select option[value=proj_30]").await;
    browser.click("#project-switch button").await;
    browser.find("#project-switch option[value=proj_30][selected]").await;
}

#[tokio::test]
async fn long_names_fit_the_narrowest_phone() {
    let receiver = Receiver::start().await;
    let long = "Long\u{202e}name🦊".repeat(600);
    let project = shop().name(&long).webhook_url(receiver.url());
    let emulator = Emulator::builder().project(project).start().await.unwrap();
    emulator.add_project(ProjectSettings::new().id("proj_other").name(&long)).unwrap();
    let session = emulator.generate(SHOP).unwrap();
    emulator.confirm(&session.token, Persona::new("1", &long)).unwrap();
    soon(emulator.delivery_of(&session.token)).await.unwrap();
    let pending = emulator.generate(SHOP).unwrap().token;
    let Some(browser) = Browser::open().await else { return };
    for width in [320, 390, 1280] {
        browser.show_on(Device { width, ..Device::PHONE }).await;
        for path in [
            "/",
            "/?delivery=dlv_1",
            "/?tab=sessions",
            "/?tab=settings&project=proj_shop",
            &format!("/bot?start={pending}"),
            &format!("/bot?start={}", session.token),
        ] {
            browser.goto(&format!("{}{path}", emulator.url())).await;
            let fits = browser.value_of("document.documentElement.scrollWidth <= innerWidth").await;
            assert_eq!(fits, true, "{path} at {width}");
        }
    }
}

#[tokio::test]
async fn an_app_is_connected_from_the_empty_page() {
    let emulator = start(Emulator::builder()).await;
    let Some(browser) = inspect(&emulator, "").await else { return };
    let secret = emulator.project(SHOP).unwrap().reveal_secret().to_owned();
    assert!(!browser.text().await.contains(&secret));
    browser
        .value_of("navigator.clipboard.writeText = async (text) => { window.copied = text }")
        .await;
    browser.click("#copy-exports").await;
    browser.wait_until("window.copied").await;
    let expected = format!(
        "export BONDIFY_API_URL={}\nexport BONDIFY_PROJECT_ID={SHOP}\n\
         export BONDIFY_WEBHOOK_SECRET={secret}",
        emulator.url()
    );
    assert_eq!(browser.value_of("window.copied").await, expected);
}

#[tokio::test]
async fn a_row_shows_the_reason_of_a_failure_and_its_project_if_there_are_several() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = format!("http://{}", listener.local_addr().unwrap());
    let refuse = async || (StatusCode::UNAUTHORIZED, r#"{"code":"INVALID_SIGNATURE"}"#);
    let app = Router::new().fallback(refuse);
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    let project = shop().name("Corner Shop").webhook_url(refusing);
    let emulator = Emulator::builder().retries(0).project(project).start().await.unwrap();
    let Some(browser) = inspect(&emulator, "").await else { return };
    emulator.send_test_event(SHOP, "auth.confirmed").unwrap();
    browser.wait_until("document.querySelector('#dlv_1 .failed')").await;
    let row = browser.find("#dlv_1").await.text().await.unwrap();
    assert!(row.contains("401 INVALID_SIGNATURE"), "{row}");
    let nobody = ProjectSettings::new().webhook_url("http://127.0.0.1:9/webhooks/bondify");
    emulator.update_project(SHOP, nobody).unwrap();
    emulator.send_test_event(SHOP, "auth.confirmed").unwrap();
    browser.wait_until("document.querySelector('#dlv_2 .failed')").await;
    let row = browser.find("#dlv_2").await.text().await.unwrap();
    assert!(row.contains("Connection refused"), "{row}");
    for width in [390, 768, 1024, 1280, 1920] {
        browser.show_on(Device { width, height: 800, dark: false }).await;
        let whole = format!("{CUT}.filter((part) => part.matches('.result')).length");
        assert_eq!(browser.value_of(&whole).await, 0, "at {width}");
    }
    let columns = "document.querySelector('#deliveries-section').innerText";
    let text = browser.value_of(columns).await.to_string();
    assert!(!text.contains("Corner Shop") && !text.contains("Project"), "{text}");
    let date = browser.value_of("new Date().getFullYear() + ' ' + new Date().getDate()").await;
    let (year, day) = date.as_str().unwrap().split_once(' ').unwrap();
    let at = browser.find("#dlv_1 time").await;
    assert!(at.text().await.unwrap().contains(day), "the day is shown");
    assert!(at.attr("title").await.unwrap().unwrap().contains(year), "the year is in the title");

    emulator.add_project(ProjectSettings::new().id("proj_other").name("Other")).unwrap();
    browser.wait_until(&format!("{columns}.includes('Corner Shop')")).await;
    assert!(browser.value_of(columns).await.to_string().contains("Project"));
}

/// The texts that do not fit.
const CUT: &str = "[...document.querySelectorAll('.cut')]
    .filter((text) => text.scrollWidth > text.clientWidth)";

#[tokio::test]
async fn lists_of_every_length_fit_every_width() {
    let receiver = Receiver::start().await;
    let builder = Emulator::builder().keep_deliveries(1000);
    let emulator = builder.project(shop().webhook_url(receiver.url())).start().await.unwrap();
    let Some(browser) = inspect(&emulator, "").await else { return };
    for count in [0, 1, 1000] {
        let sent = emulator.deliveries().len()..count;
        let sent = sent.map(|_| emulator.send_test_event(SHOP, "auth.confirmed").unwrap().id);
        for id in sent.collect::<Vec<_>>() {
            soon(emulator.finished(id)).await.unwrap();
        }
        browser.goto(emulator.url()).await;
        assert_eq!(rows(&browser).await, count);
        for (width, dark) in
            [390, 768, 1024, 1280, 1600, 1920].into_iter().zip([true, false].into_iter().cycle())
        {
            browser.show_on(Device { width, height: 800, dark }).await;
            let overlapping = browser.value_of(
                "[...document.querySelectorAll('.heads span')]
                    .filter((head) => head.scrollWidth > head.clientWidth + 1)
                    .map((head) => head.textContent)",
            );
            assert_eq!(overlapping.await, serde_json::json!([]), "{count} at {width}");
            let fits = browser.value_of("document.documentElement.scrollWidth <= innerWidth").await;
            assert_eq!(fits, true, "{count} at {width}");
            let narrow = browser.value_of(
                "[...document.querySelectorAll('.tools select')]
                    .filter((list) => list.clientWidth < 80 && list.clientWidth > 0).length",
            );
            assert_eq!(narrow.await, 0, "{count} at {width}");
            let whole = format!("{CUT}.filter((part) => part.closest('.delivery')).length");
            assert_eq!(browser.value_of(&whole).await, 0, "{count} at {width}");
            picture(&browser, &format!("list-{count}-{width}{}", if dark { "-dark" } else { "" }))
                .await;
        }
    }
}
