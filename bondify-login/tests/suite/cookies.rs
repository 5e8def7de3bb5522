use bondify_testkit::{Connection, Response, cookies};

use super::{
    Framework, Rig,
    rig::{Browser, COOKIE, ORIGIN, session},
};

/// Sends a request with `Cookie` headers of any bytes.
async fn request(browser: &Browser, line: &str, cookies: &[&[u8]], form: &str) -> Response {
    let length = form.len();
    let head = format!(
        "{line} HTTP/1.1\r\nhost: shop.example\r\norigin: {ORIGIN}\r\naccept: text/html\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n"
    );
    let cookies = cookies.iter().map(|cookie| [b"cookie: ", *cookie, b"\r\n"].concat());
    let cookies: Vec<u8> = cookies.flatten().collect();
    let request = [head.as_bytes(), &cookies, b"\r\n", form.as_bytes()].concat();
    let mut connection = Connection::open(browser.server).await.unwrap();
    connection.send(&request).await.unwrap();
    connection.response().await.unwrap()
}

pub(crate) async fn cookies_of_other_applications_change_nothing<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let foreign: Vec<_> = cookies::foreign();
    let foreign = foreign.iter().filter(|it| F::PASSES_ALL_BYTES || str::from_utf8(it).is_ok());
    let all: Vec<u8> = foreign.clone().map(Vec::as_slice).collect::<Vec<_>>().join(&b"; "[..]);
    let browser = rig.begin().await;
    let ours = browser.cookie.as_bytes();
    for foreign in foreign.map(Vec::as_slice).chain([&*all]) {
        let (before, after) = ([foreign, b"; ", ours].concat(), [ours, b";", foreign].concat());
        for cookies in [&[&*before][..], &[&after], &[foreign, ours], &[ours, foreign]] {
            let page = request(&browser, "GET /login", cookies, "").await.body;
            assert!(page.contains(&*browser.token), "{}: {page}", foreign.escape_ascii());
        }
    }
    rig.confirm(&browser.token, "42");
    let proof = browser.clone().proof().await;
    let cookies = [&all, &b"; "[..], ours, b"; ", &all].concat();
    let form = format!("proof={proof}");
    let finished = request(&browser, "POST /login/finish", &[&cookies], &form).await;
    assert_eq!(session(&finished), Some("42"), "{finished:?}");
}

pub(crate) async fn cookies_with_similar_names_are_ignored<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let browser = rig.begin().await;
    let (_, value) = browser.cookie.split_once('=').unwrap();
    for similar in cookies::lookalikes(COOKIE, value) {
        let page = request(&browser, "GET /login", &[&similar], "").await.body;
        assert!(page.contains("Sign in with Telegram"), "{}: {page}", similar.escape_ascii());
    }
}
