use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
    time::{Duration, SystemTime},
};

use bondify_core::Secret;
use bondify_login::SignedIn;
use bondify_testkit::Payload;
use futures_util::future::join_all;
use tokio::{sync::Semaphore, time::sleep};

use super::{
    Framework, Rig,
    rig::{Browser, session},
    waiting::soon,
};

/// The user whose handler waits until the test lets it go on.
const SLOW: &str = "77";
/// The user whose handler fails at first.
const FAILING: &str = "500";

/// The time in which a server notices a reset, which has no answer to wait for.
const TIME_TO_NOTICE: Duration = Duration::from_millis(250);

static CALLS: LazyLock<Mutex<HashMap<String, u32>>> = LazyLock::new(Mutex::default);
static STARTED: Semaphore = Semaphore::const_new(0);
static MAY_END: Semaphore = Semaphore::const_new(0);

/// Does what the handlers of all frameworks do. `Err` is the status to answer with.
pub(crate) async fn handle(login: &SignedIn) -> Result<(), u16> {
    let id = login.user.id().as_str();
    let call = {
        let mut calls = CALLS.lock().unwrap();
        let call = calls.entry(id.to_owned()).or_default();
        *call += 1;
        *call
    };
    match id {
        SLOW => {
            STARTED.add_permits(1);
            MAY_END.acquire().await.unwrap().forget();
            Ok(())
        }
        FAILING if call == 1 => Err(500),
        _ => Ok(()),
    }
}

fn calls(id: &str) -> u32 {
    CALLS.lock().unwrap()[id]
}

/// A browser whose login `id` has confirmed, and the proof.
async fn confirmed(rig: &Rig, id: &str) -> (Browser, String) {
    let mut browser = rig.begin().await;
    rig.confirm(&browser.token.clone(), id);
    let proof = browser.proof().await;
    (browser, proof)
}

pub(crate) async fn a_hang_up_while_the_handler_runs_loses_no_login<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let (mut browser, proof) = confirmed(&rig, SLOW).await;
    let headers = "origin: https://shop.example\r\n";
    let form = format!("proof={proof}");
    let first = browser.send("POST", "/login/finish", headers, &form).await;
    soon(STARTED.acquire()).await.unwrap().forget();
    first.reset().unwrap();
    sleep(TIME_TO_NOTICE).await;
    let mut again = browser.send("POST", "/login/finish", headers, &form).await;
    MAY_END.add_permits(1);
    let answer = soon(again.response()).await.unwrap();
    assert_eq!((answer.status, session(&answer)), (303, Some(SLOW)), "{answer:?}");
    // The answer was lost on its way.
    let reloaded = browser.finish(&proof).await;
    assert_eq!((reloaded.status, session(&reloaded)), (303, Some(SLOW)), "{reloaded:?}");
    assert_eq!((browser.cookie.as_str(), calls(SLOW)), ("", 1));
}

/// A double click, two tabs.
pub(crate) async fn many_concurrent_finishes_get_the_same_answer<F: Framework>() {
    const ID: &str = "88";
    let rig = Rig::start::<F>().await;
    let (browser, proof) = confirmed(&rig, ID).await;
    let finishes = (0..8).map(|_| {
        let (mut browser, proof) = (browser.clone(), &proof);
        async move { browser.finish(proof).await }
    });
    for answer in join_all(finishes).await {
        assert_eq!((answer.status, session(&answer)), (303, Some(ID)), "{answer:?}");
        assert_eq!(answer.header("location"), Some("/"));
    }
    assert_eq!(calls(ID), 1);
}

/// The answer has the cookie of the user's new session.
pub(crate) async fn a_finish_is_repeated_to_the_same_cookie_and_proof_only<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let (mut browser, proof) = confirmed(&rig, "42").await;
    let copy = browser.clone();
    assert_eq!(session(&browser.finish(&proof).await), Some("42"));
    let forged = Payload::proof().session_token(&*copy.token);
    let forged = forged.proof_signed_with(&Secret::new("whsec_other").unwrap());
    for wrong in ["", "x", &forged] {
        let refused = copy.clone().finish(wrong).await;
        assert_eq!((refused.status, session(&refused)), (400, None), "{wrong}");
    }
    let refused = rig.begin().await.finish(&proof).await;
    assert_eq!((refused.status, session(&refused)), (400, None));
    assert_eq!(session(&copy.clone().finish(&proof).await), Some("42"));
}

pub(crate) async fn a_handler_that_fails_leaves_the_login_unfinished<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let (mut browser, proof) = confirmed(&rig, FAILING).await;
    let failed = browser.finish(&proof).await;
    assert_eq!((failed.status, session(&failed)), (500, None), "{failed:?}");
    assert_eq!(browser.until("/login", "confirmed").await["proof"], *proof);
    let finished = browser.finish(&proof).await;
    assert_eq!((finished.status, session(&finished)), (303, Some(FAILING)), "{finished:?}");
}

pub(crate) async fn a_copied_cookie_learns_nothing_after_the_login<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let (mut browser, proof) = confirmed(&rig, "42").await;
    let mut copy = browser.clone();
    assert_eq!(copy.json("GET", "/login").await["name"], "Ada");
    assert_eq!(session(&browser.finish(&proof).await), Some("42"));
    let id = copy.cookie.split('=').next().unwrap().rsplit('-').next().unwrap().to_owned();
    for page in ["/login".to_owned(), format!("/login?id={id}")] {
        let state = copy.json("GET", &page).await;
        assert_eq!((&state["state"], &state["name"]), (&"used".into(), &().into()), "{state}");
        assert!(state["proof"].is_null(), "{state}");
    }
    let page = copy.get("/login").await.body;
    assert!(page.contains("This login is finished") && !page.contains("Ada"), "{page}");
    let decision = copy.decision().await;
    assert_eq!((&decision["state"], &decision["proof"]), (&"used".into(), &().into()));
}

fn clock(offset: i64) -> impl Fn() -> SystemTime + Clone + Send + Sync + 'static {
    let difference = Duration::from_secs(offset.unsigned_abs());
    move || match SystemTime::now() {
        now if offset < 0 => now - difference,
        now => now + difference,
    }
}

pub(crate) async fn clocks_may_differ_by_minutes<F: Framework>() {
    for offset in [-290, -35, 35, 290] {
        let lifetime = Duration::from_secs(600);
        let rig = Rig::with_clock::<F>(lifetime, clock(offset), |login| login).await;
        let mut browser = rig.begin().await;
        let state = browser.json("GET", "/login").await;
        assert_eq!(state["state"], "waiting", "{offset} s");
        let left = state["expires_in"].as_u64().unwrap();
        assert!((500..=600).contains(&left), "{offset} s: {left}");
        rig.confirm(&browser.token.clone(), "42");
        let proof = browser.proof().await;
        assert_eq!(session(&browser.finish(&proof).await), Some("42"), "{offset} s");
    }
}

pub(crate) async fn a_clock_that_is_wrong_begins_no_login<F: Framework>() {
    for offset in [-360, 360] {
        let lifetime = Duration::from_secs(600);
        let rig = Rig::with_clock::<F>(lifetime, clock(offset), |login| login).await;
        let refused = rig.browser().post("/login", "").await;
        assert_eq!((refused.status, refused.header("set-cookie")), (502, None), "{offset} s");
    }
}
