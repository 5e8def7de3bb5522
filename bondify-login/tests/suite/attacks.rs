use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bondify_core::Secret;
use bondify_emulator::Persona;
use bondify_login::Login;
use bondify_testkit::Payload;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Framework, Rig,
    rig::{COOKIE, KEY, ORIGIN, PROJECT, session, sessions},
    waiting::soon,
};

/// Login CSRF: the attacker confirms their own login and makes the victim's browser send its proof.
pub(crate) async fn a_victims_browser_is_not_signed_in_as_the_attacker<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut attacker = rig.begin().await;
    rig.confirm(&attacker.token.clone(), "666");
    let proof = attacker.proof().await;
    for mut victim in [rig.browser(), rig.begin().await] {
        let refused = victim.finish(&proof).await;
        assert_eq!((refused.status, session(&refused)), (400, None), "{refused:?}");
    }
    // Another site cannot send it, even with the attacker's cookie.
    let mut planted = attacker.clone();
    let cross_site = "origin: https://evil.example\r\nsec-fetch-site: cross-site\r\n";
    let form = format!("proof={proof}");
    let refused = planted.request("POST", "/login/finish", cross_site, &form).await;
    assert_eq!((refused.status, session(&refused)), (403, None));
    assert_eq!(session(&attacker.finish(&proof).await), Some("666"), "nothing was used up");
}

/// Session fixation: the attacker sets their cookie in the victim's browser.
pub(crate) async fn a_planted_cookie_is_useless_after_the_login<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut attacker = rig.begin().await;
    let mut victim = attacker.clone();
    let begun = victim.post("/login", "").await;
    assert_eq!(begun.status, 303);
    assert_ne!(victim.cookie, attacker.cookie, "each login has a cookie of its own");
    victim.token = rig.emulator.sessions()[0].token.to_string();
    rig.confirm(&victim.token.clone(), "42");
    let proof = victim.proof().await;
    assert_eq!(session(&victim.finish(&proof).await), Some("42"));

    assert_eq!(attacker.json("GET", "/login").await["state"], "used");
    let refused = attacker.finish(&proof).await;
    assert_eq!((refused.status, session(&refused)), (400, None));
}

pub(crate) async fn a_stolen_link_or_token_cannot_finish_a_login<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut victim = rig.begin().await;
    let deeplink = victim.json("GET", "/login").await["deeplink"].to_string();
    rig.confirm(&victim.token.clone(), "42");
    for mut thief in [rig.browser(), rig.begin().await] {
        for stolen in [&victim.token, &deeplink] {
            let refused = thief.finish(stolen).await;
            assert_eq!((refused.status, session(&refused)), (400, None));
        }
        thief.cookie = format!("{COOKIE}0={}", victim.token);
        assert_eq!(thief.get("/login/events").await.status, 404);
        assert_eq!(thief.json("GET", "/login").await["state"], "start");
        assert_eq!(thief.finish("").await.status, 400);
    }
    let proof = victim.proof().await;
    assert_eq!(session(&victim.finish(&proof).await), Some("42"));
}

pub(crate) async fn a_stolen_proof_cannot_finish_a_login<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut victim = rig.begin().await;
    rig.confirm(&victim.token.clone(), "42");
    let proof = victim.proof().await;
    for mut thief in [rig.browser(), rig.begin().await] {
        let refused = thief.finish(&proof).await;
        assert_eq!((refused.status, session(&refused)), (400, None));
    }
    assert_eq!(session(&victim.finish(&proof).await), Some("42"));
}

pub(crate) async fn forged_truncated_and_swapped_cookies_are_ignored<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let browser = rig.begin().await;
    rig.confirm(&browser.token.clone(), "42");
    let proof = browser.clone().proof().await;
    let real = browser.cookie.clone();
    let (name, value) = real.split_once('=').unwrap();
    let other = Rig::with::<F>(Duration::from_secs(600), |login| login.cookie_key([8; 32])).await;
    let foreign = other.begin().await.cookie;
    let plain = format!(
        r#"{{"session_token":"{}","deeplink":"https://t.me","expires_at":99999999999,"return_to":"/"}}"#,
        browser.token
    );
    let changed = if value.starts_with('A') { "B" } else { "A" };
    for forged in [
        String::new(),
        format!("{name}="),
        format!("{name}={plain}"),
        format!("{name}={}", &value[..value.len() - 1]),
        format!("{name}={}", &value[..value.len() / 2]),
        format!("{name}={changed}{}", &value[1..]),
        format!("{name}={value}A"),
        format!("{name}0={value}"),
        format!("{COOKIE}={value}"),
        format!("{}={value}", name.trim_start_matches("__Host-")),
        format!("session={value}"),
        foreign,
    ] {
        let mut forger = browser.clone();
        forger.cookie.clone_from(&forged);
        assert_eq!(forger.json("GET", "/login").await["state"], "start", "{forged}");
        assert_eq!(forger.get("/login/events").await.status, 404, "{forged}");
        let refused = forger.finish(&proof).await;
        assert_eq!((refused.status, session(&refused)), (400, None), "{forged}");
    }
    // The cookie of another login does not finish with this proof.
    let mut swapped = rig.begin().await;
    assert_eq!(session(&swapped.finish(&proof).await), None);
    assert_eq!(session(&browser.clone().finish(&proof).await), Some("42"));
}

pub(crate) async fn an_expired_cookie_cannot_finish_a_login<F: Framework>() {
    let ahead = Arc::new(AtomicU64::new(0));
    let clock = {
        let ahead = ahead.clone();
        move || SystemTime::now() + Duration::from_secs(ahead.load(Ordering::Relaxed))
    };
    let rig = Rig::with::<F>(Duration::from_secs(600), |login| login.clock(clock)).await;
    let mut browser = rig.begin().await;
    rig.confirm(&browser.token.clone(), "42");
    let proof = browser.proof().await;
    ahead.store(902, Ordering::Relaxed);
    assert_eq!(browser.json("GET", "/login").await["state"], "expired");
    let refused = browser.finish(&proof).await;
    assert_eq!((refused.status, session(&refused)), (400, None));
    assert!(refused.body.contains("The login has expired"), "{}", refused.body);
    // Before that it is valid.
    ahead.store(890, Ordering::Relaxed);
    assert_eq!(session(&browser.finish(&proof).await), Some("42"));
}

/// Open redirect.
pub(crate) async fn no_return_to_leads_to_another_site<F: Framework>() {
    let rig = Rig::start::<F>().await;
    for elsewhere in [
        "https%3A%2F%2Fevil.example",
        "%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%2F%09%2Fevil.example",
        "javascript%3Aalert(1)",
        "%2Fa%0D%0Aset-cookie%3A%20session%3D666",
    ] {
        let mut browser = rig.browser();
        let page = browser.get(&format!("/login?return_to={elsewhere}")).await;
        assert!(page.body.contains("name=\"return_to\" value=\"/\""), "{}", page.body);
        browser.post("/login", &format!("return_to={elsewhere}")).await;
        rig.confirm(&rig.emulator.sessions()[0].token.to_string(), "42");
        let proof = browser.proof().await;
        let finished = browser.finish(&proof).await;
        assert_eq!(finished.header("location"), Some("/"), "{elsewhere}");
    }
}

pub(crate) async fn forms_of_other_sites_are_refused<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.begin().await;
    rig.confirm(&browser.token.clone(), "42");
    let proof = browser.proof().await;
    for headers in [
        "origin: https://evil.example\r\nsec-fetch-site: cross-site\r\n",
        "origin: https://blog.shop.example\r\nsec-fetch-site: same-site\r\n",
        "origin: https://shop.example\r\nsec-fetch-site: cross-site\r\n",
        "origin: https://evil.example\r\nsec-fetch-site: same-origin\r\n",
        "origin: https://evil.example\r\n",
        "origin: http://shop.example\r\n",
        "origin: null\r\n",
        "",
    ] {
        for (path, form) in [("/login", "".into()), ("/login/finish", format!("proof={proof}"))] {
            let refused = browser.request("POST", path, headers, &form).await;
            assert_eq!(refused.status, 403, "{path} {headers}");
            assert_eq!(refused.header("set-cookie"), None, "{path} {headers}");
        }
    }
    assert_eq!(rig.emulator.sessions().len(), 1);
    // A link cannot begin or finish a login.
    let linked = browser.get(&format!("/login/finish?proof={proof}")).await;
    assert!([404, 405].contains(&linked.status), "{}", linked.status);
    assert_eq!(session(&linked), None);
    assert_eq!(session(&browser.finish(&proof).await), Some("42"));
}

/// Clickjacking.
pub(crate) async fn no_site_can_frame_a_page<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut pages = vec![rig.browser().get("/login").await];
    let mut browser = rig.begin().await;
    pages.push(browser.get("/login").await);
    rig.confirm(&browser.token.clone(), "42");
    pages.push(browser.get("/login").await);
    pages.push(browser.finish("no proof").await);
    let mut cancelled = rig.begin().await;
    rig.emulator.cancel(&cancelled.token).unwrap();
    pages.push(cancelled.get("/login").await);
    let mut nonces = BTreeSet::new();
    for page in &pages {
        let policy = page.header("content-security-policy").unwrap();
        for directive in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(directive), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        nonces.insert(policy.split_once("'nonce-").unwrap().1.split('\'').next().unwrap());
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("referrer-policy"), Some("same-origin"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(nonces.len(), pages.len(), "each page has a nonce of its own");
}

pub(crate) async fn a_proof_of_another_project_is_refused<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.begin().await;
    let proof = || Payload::proof().session_token(&*browser.token).field("project_id", PROJECT);
    let other_project = proof().field("project_id", "proj_other").proof_signed_with(&rig.secret);
    let other_secret = proof().proof_signed_with(&Secret::new("whsec_other").unwrap());
    let other_session = proof().session_token("sess_other").proof_signed_with(&rig.secret);
    let real = proof().proof_signed_with(&rig.secret);
    for refused in [other_project, other_secret, other_session] {
        let refused = browser.finish(&refused).await;
        assert_eq!((refused.status, session(&refused)), (400, None));
    }
    assert!(session(&browser.finish(&real).await).is_some(), "nothing else was wrong with them");
}

pub(crate) async fn a_finished_login_cannot_be_replayed<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.begin().await;
    rig.confirm(&browser.token.clone(), "42");
    let proof = browser.proof().await;
    let mut replayed = browser.clone();
    assert_eq!(session(&browser.finish(&proof).await), Some("42"));

    // Another instance, with the same dedupe store.
    let login = Login::builder(sessions(rig.emulator.url()), &rig.bondify);
    let login = login.origin(ORIGIN).cookie_key(KEY).build().unwrap();
    let other = F::serve(login).await;
    replayed.server = other.address();
    let refused = replayed.finish(&proof).await;
    assert_eq!((refused.status, session(&refused)), (409, None));
    assert!(refused.body.contains("This login is finished"), "{}", refused.body);
    assert!(refused.body.contains("Sign in again"), "{}", refused.body);
}

pub(crate) async fn names_run_no_script<F: Framework>() {
    const SCRIPT: &str = "<script>alert(1)</script>\"'>";
    let rig = Rig::with::<F>(Duration::from_secs(600), |login| login.app_name(SCRIPT)).await;
    let mut browser = rig.begin().await;
    let waiting = browser.get("/login").await.body;
    rig.emulator.confirm(&browser.token, Persona::new("42", SCRIPT)).unwrap();
    let confirmed = browser.get("/login").await.body;
    for page in [waiting, confirmed] {
        assert!(!page.contains("<script>") && !page.contains("\"'>"), "{page}");
        assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
    }
    let mut browser = rig.browser();
    let page = browser.get("/login?return_to=%2F%22%3E%3Cscript%3E").await.body;
    assert!(!page.contains("<script>") && page.contains("/&#34;&#62;"), "{page}");
}

pub(crate) async fn an_oversized_form_is_refused<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.begin().await;
    let refused = browser.finish(&"a".repeat(64 * 1024)).await;
    assert_eq!((refused.status, session(&refused)), (413, None));
}

pub(crate) async fn other_methods_change_nothing<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.begin().await;
    let cookie = browser.cookie.clone();
    for path in ["/login", "/login/events", "/login/finish"] {
        for method in ["OPTIONS", "PUT", "DELETE"] {
            let refused = soon(browser.request(method, path, "", "")).await;
            assert!([404, 405].contains(&refused.status), "{method} {path}: {refused:?}");
            assert_eq!(refused.header("access-control-allow-origin"), None);
        }
        let mut head = browser.send("HEAD", path, "", "").await;
        soon(head.part_of_a_response()).await.unwrap();
    }
    rig.until_waiting(0).await;
    assert_eq!((browser.cookie, rig.emulator.sessions().len()), (cookie, 1));
}

pub(crate) async fn head_is_answered_like_get<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let browser = rig.begin().await;
    for path in ["/login", "/login/events"] {
        let mut connection = TcpStream::connect(browser.server).await.unwrap();
        let request = format!(
            "HEAD {path} HTTP/1.1\r\nhost: shop.example\r\ncookie: {}\r\nconnection: close\r\n\r\n",
            browser.cookie
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        soon(connection.read_to_string(&mut head)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{path}: {head}");
        assert_eq!(head.matches("\r\n\r\n").count(), 1, "{path} has no body: {head}");
    }
    rig.until_waiting(0).await;
}
