use std::{convert::Infallible, time::Duration};

use bondify_core::Handled;
use bondify_testkit::Payload;

use super::{Framework, Rig, rig::session};

pub(crate) async fn a_confirmed_login_is_finished_in_the_browser_that_began_it<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.browser();
    assert!(browser.get("/login").await.body.contains("Sign in with Telegram"));
    assert_eq!(rig.emulator.sessions().len(), 0, "only a form begins a login");

    let begun = browser.post("/login", "return_to=%2Fbasket%3Fa%3Db").await;
    assert_eq!(begun.status, 303);
    let token = rig.emulator.sessions()[0].token.to_string();
    let page = browser.get("/login").await;
    assert_eq!(page.status, 200);
    for part in [&*token, "<svg", "Waiting for you to confirm", "Shop", "http-equiv=\"refresh\""] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }

    let (proof, ()) =
        tokio::join!(async { browser.proof().await }, async { rig.confirm(&token, "42") });
    let finished = browser.finish(&proof).await;
    assert_eq!((finished.status, session(&finished)), (303, Some("42")), "{finished:?}");
    assert_eq!(finished.header("location"), Some("/basket?a=b"));
    assert_eq!(browser.cookie, "", "the login cookie is removed");
    assert!(browser.get("/login").await.body.contains("Sign in with Telegram"));
}

pub(crate) async fn a_page_without_scripts_finishes_a_login<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.begin().await;
    rig.confirm(&browser.token.clone(), "42");
    let page = browser.get("/login").await;
    assert!(!page.body.contains("http-equiv=\"refresh\""), "{}", page.body);
    let proof = page.body.split_once("name=\"proof\" value=\"").unwrap().1;
    let proof = proof.split('"').next().unwrap();
    assert!(page.body.contains("action=\"./login/finish\""));
    assert_eq!(session(&browser.finish(proof).await), Some("42"));
}

pub(crate) async fn a_single_page_app_gets_the_states_as_json<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.browser();
    assert_eq!(browser.json("GET", "/login").await["state"], "start");
    let begun = browser.json("POST", "/login").await;
    let token = rig.emulator.sessions()[0].token.to_string();
    assert_eq!(begun["state"], "waiting");
    assert!(begun["deeplink"].as_str().unwrap().ends_with(&token), "{begun}");
    assert!(begun["qr_code"].as_str().unwrap().starts_with("<svg"), "{begun}");
    assert!((500..=600).contains(&begun["expires_in"].as_u64().unwrap()), "{begun}");
    assert_eq!(browser.json("GET", "/login").await["state"], "waiting");
    rig.confirm(&token, "42");
    let confirmed = browser.until("/login", "confirmed").await;
    assert_eq!((&confirmed["name"], &confirmed["id"]), (&"Ada".into(), &begun["id"]));
    let finished = browser.finish(confirmed["proof"].as_str().unwrap()).await;
    assert_eq!(session(&finished), Some("42"));
}

pub(crate) async fn a_cancelled_login_is_shown<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.begin().await;
    rig.emulator.cancel(&browser.token).unwrap();
    assert_eq!(browser.decision().await["state"], "cancelled");
    let page = browser.get("/login").await;
    assert!(page.body.contains("You cancelled the login") && page.body.contains("Try again"));
}

pub(crate) async fn an_expired_login_is_shown<F: Framework>() {
    let rig = Rig::with::<F>(Duration::from_secs(1), |login| login).await;
    let mut browser = rig.begin().await;
    assert_eq!(browser.decision().await["state"], "expired");
    let page = browser.get("/login").await;
    assert!(page.body.contains("The login has expired") && page.body.contains("Try again"));
}

pub(crate) async fn a_login_whose_webhook_was_handled_can_be_finished<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.begin().await;
    let event = Payload::confirmed().session_token(&*browser.token).signed_with(&rig.secret);
    let event = event.verified_by(&rig.secret).unwrap();
    let handle = async |event| rig.bondify.handle(event, async |_| Ok::<_, Infallible>(())).await;
    assert_eq!(handle(event.clone()).await.unwrap(), Handled::Now(()));
    rig.confirm(&browser.token.clone(), "42");
    let proof = browser.proof().await;
    assert_eq!(session(&browser.finish(&proof).await), Some("42"));

    let mut other = rig.begin().await;
    rig.confirm(&other.token.clone(), "43");
    let proof = other.proof().await;
    assert_eq!(session(&other.finish(&proof).await), Some("43"));
    let event = Payload::confirmed().session_token(&*other.token).signed_with(&rig.secret);
    let event = event.verified_by(&rig.secret).unwrap();
    assert_eq!(handle(event).await.unwrap(), Handled::Now(()), "the webhook is handled too");
}

pub(crate) async fn an_unreachable_api_is_shown<F: Framework>() {
    let rig = Rig::start::<F>().await;
    rig.emulator.delete_project(super::rig::PROJECT).unwrap();
    let refused = rig.browser().post("/login", "").await;
    assert_eq!(refused.status, 502);
    assert!(refused.body.contains("not possible right now"), "{}", refused.body);
    assert_eq!(refused.header("set-cookie"), None);
}

/// Some frameworks serve the page there too.
pub(crate) async fn a_slash_at_the_end_leads_nowhere_else<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.browser();
    if browser.get("/login/").await.status == 404 {
        return;
    }
    let begun = browser.post("/login/", "").await;
    assert!(begun.header("location").unwrap().starts_with("../login?id="), "{begun:?}");
    let waiting = browser.get("/login/").await.body;
    assert!(waiting.contains("data-events=\"../login/events?id="), "{waiting}");
    assert!(waiting.contains("action=\"../login/finish\""), "{waiting}");
}
