use std::time::Duration;

use bondify_testkit::Connection;
use tokio::time::timeout;

use super::{Framework, Rig, rig::ORIGIN, waiting::soon};

/// A request that declares a body of 100 bytes and sends less.
async fn half_sent(rig: &Rig, line: &str) -> Connection {
    let request = format!(
        "{line} HTTP/1.1\r\nhost: shop.example\r\norigin: {ORIGIN}\r\naccept: text/html\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\n\
         return_to=%2Fbasket"
    );
    let mut connection = Connection::open(rig.server.address()).await.unwrap();
    connection.send(request.as_bytes()).await.unwrap();
    connection
}

pub(crate) async fn a_form_that_is_held_back_is_refused<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut forms =
        [half_sent(&rig, "POST /login").await, half_sent(&rig, "POST /login/finish").await];
    for form in &mut forms {
        let refused = timeout(Duration::from_secs(30), form.response()).await.expect("a deadline");
        assert_eq!(refused.unwrap().status, 408);
    }
    assert_eq!(rig.emulator.sessions().len(), 0);
}

pub(crate) async fn a_request_for_the_page_needs_no_body<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let page = soon(half_sent(&rig, "GET /login").await.response()).await.unwrap();
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Sign in with Telegram"), "{}", page.body);
    let events = soon(half_sent(&rig, "GET /login/events").await.response()).await.unwrap();
    assert_eq!(events.status, 404);
}

pub(crate) async fn a_form_that_breaks_off_begins_nothing<F: Framework>() {
    let rig = Rig::start::<F>().await;
    // The server may answer with an error or close the connection.
    let _closed = soon(half_sent(&rig, "POST /login").await.hang_up()).await;
    // By the end of a whole one, the other would have begun as well.
    rig.begin().await;
    assert_eq!(rig.emulator.sessions().len(), 1);
}

pub(crate) async fn a_page_of_another_origin_is_told_which_one_to_use<F: Framework>() {
    let rig = Rig::start::<F>().await;
    for headers in [
        "origin: http://shop.example\r\nsec-fetch-site: same-origin\r\n",
        "origin: https://www.shop.example\r\nsec-fetch-site: same-origin\r\n",
        "origin: https://shop.example:8443\r\n",
    ] {
        let mut browser = rig.browser();
        let refused = browser.request("POST", "/login", headers, "").await;
        assert_eq!(refused.status, 403, "{headers}");
        for part in ["does not work at this address", &format!("href=\"{ORIGIN}\"")] {
            assert!(refused.body.contains(part), "{headers}: {}", refused.body);
        }
        assert!(!refused.body.contains("<form"), "{}", refused.body);
        let json = headers.to_owned() + "accept: application/json\r\n";
        let refused = browser.request("POST", "/login", &json, "").await.body;
        let state = r#"{"origin":"https://shop.example","state":"other_origin"}"#;
        assert_eq!(refused, state, "{headers}");
    }
}
