use super::{
    Framework, Rig,
    rig::{Browser, session},
    waiting::soon,
};

/// Begins a login in a new tab of the browser: its page and its session.
async fn open_tab(rig: &Rig, browser: &mut Browser, return_to: &str) -> (String, String) {
    let page = rig.begin_in(browser, &format!("return_to={return_to}")).await;
    (page, browser.token.clone())
}

pub(crate) async fn tabs_finish_their_own_logins<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.browser();
    let (first, token) = open_tab(&rig, &mut browser, "/first").await;
    let (second, other_token) = open_tab(&rig, &mut browser, "/second").await;
    for (page, token) in [(&first, &token), (&second, &other_token)] {
        assert!(browser.get(page).await.body.contains(&**token), "{page} shows its own login");
    }
    let newest = browser.get("/login").await.body;
    assert!(newest.contains(&other_token), "{newest}");

    let events = second.replace("/login", "/login/events");
    let (mut waiting, in_second) = (browser.clone(), events.clone());
    let waiting = tokio::spawn(async move { waiting.decision_at(&in_second).await });
    rig.until_waiting(1).await;
    rig.confirm(&token, "42");
    let confirmed = browser.decision_at(&first.replace("/login", "/login/events")).await;
    let finished = browser.finish(confirmed["proof"].as_str().unwrap()).await;
    assert_eq!((finished.header("location"), session(&finished)), (Some("/first"), Some("42")));

    // The other tab is signed in too.
    assert_eq!(soon(waiting).await.unwrap()["state"], "used");
    assert_eq!(browser.json("GET", &second).await["state"], "used");
    let page = browser.get(&second).await.body;
    assert!(page.contains("This login is finished") && page.contains("href=\"/second\""), "{page}");
    assert_eq!(browser.json("GET", "/login").await["state"], "start", "a new visit");
    let other_instance = Rig::start::<F>().await;
    let mut elsewhere = Browser { server: other_instance.server.address(), ..browser };
    assert_eq!(elsewhere.json("GET", &second).await["state"], "used", "the cookie says so");
}

pub(crate) async fn the_oldest_of_too_many_logins_is_removed<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.browser();
    let mut pages = Vec::new();
    for _ in 0..6 {
        pages.push(open_tab(&rig, &mut browser, "/").await.0);
    }
    assert_eq!(browser.cookie.split("; ").count(), 5);
    assert_eq!(browser.json("GET", &pages[0]).await["state"], "start");
    for page in &pages[1..] {
        assert_eq!(browser.json("GET", page).await["state"], "waiting");
    }
}

pub(crate) async fn a_login_that_was_left_does_not_decide_where_the_next_one_leads<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.browser();
    open_tab(&rig, &mut browser, "/basket").await;
    let visit = browser.get("/login?return_to=/orders").await.body;
    assert!(visit.contains("Sign in with Telegram"), "{visit}");
    assert!(visit.contains("name=\"return_to\" value=\"/orders\""), "{visit}");
    let (_, token) = open_tab(&rig, &mut browser, "/orders").await;
    for same in ["/login?return_to=/orders", "/login"] {
        assert!(browser.get(same).await.body.contains(&token), "{same}");
    }
    rig.confirm(&token, "42");
    let proof = browser.proof().await;
    assert_eq!(browser.finish(&proof).await.header("location"), Some("/orders"));
}

/// To sign in and to link an account are different things.
pub(crate) async fn a_login_is_finished_at_the_page_that_began_it<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.browser();
    assert_eq!(browser.post("/link", "").await.status, 303);
    rig.confirm(&rig.emulator.sessions()[0].token, "42");
    assert_eq!(browser.json("GET", "/login").await["state"], "start");
    assert_eq!(browser.get("/login/events").await.status, 404);
    let confirmed = browser.decision_at("/link/events").await;
    let proof = confirmed["proof"].as_str().unwrap();
    let refused = browser.finish(proof).await;
    assert_eq!((refused.status, session(&refused)), (400, None));
    let finished = browser.post("/link/finish", &format!("proof={proof}")).await;
    assert_eq!(session(&finished), Some("42"), "{finished:?}");
}
