use axum::http::StatusCode;
use bondify_axum::Event;
use bondify_emulator::{Emulator, ProjectSettings};
use bondify_testkit::within_a_minute;
use snapbox::{assert_data_eq, str};

use crate::support::{Finished, Receiver, SECRET, bondify, run};

const SHOP: &str = "proj_shop";

/// An emulator with two deliveries that failed.
async fn failed(url: &str) -> Emulator {
    let shop = ProjectSettings::new().id(SHOP).secret(SECRET).webhook_url(url);
    let emulator = Emulator::builder().retries(0).project(shop).start().await.unwrap();
    for event in ["auth.confirmed", "auth.cancelled"] {
        let sent = emulator.send_test_event(SHOP, event).unwrap();
        emulator.finished(sent.id).await.unwrap();
    }
    emulator
}

async fn at(emulator: &Emulator, args: &[&str]) -> Finished {
    let mut command = bondify(args);
    command.env("BONDIFY_API_URL", emulator.url());
    Finished::of(command).await
}

#[tokio::test]
async fn deliveries_are_listed_newest_first() {
    within_a_minute(async {
        let receiver = Receiver::answering(StatusCode::SERVICE_UNAVAILABLE).await;
        let emulator = failed(&receiver.url).await;
        assert_data_eq!(
            at(&emulator, &["deliveries"]).await.to_string(),
            str![[r#"
dlv_2 auth.cancelled sess_test_[..]: failed, attempt 1/1: 503
dlv_1 auth.confirmed sess_test_[..]: failed, attempt 1/1: 503
exit code: 0

"#]]
        );
        let token = emulator.deliveries()[0].session_token.clone();
        let one = at(&emulator, &["deliveries", "--session", &token, "--failed", "--json"]).await;
        let [one] = &one.json()[..] else { panic!("{one}") };
        assert_eq!((&one["id"], &one["event"]), (&"dlv_2".into(), &"auth.cancelled".into()));
        let none = at(&emulator, &["deliveries", "--project=other"]).await;
        assert_eq!((none.code, &*none.stdout), (Some(0), ""));
    })
    .await;
}

#[tokio::test]
async fn resend_waits_for_the_outcome() {
    within_a_minute(async {
        let away = Receiver::answering(StatusCode::SERVICE_UNAVAILABLE).await;
        let back = Receiver::start().await;
        let emulator = failed(&away.url).await;
        let one = at(&emulator, &["resend", "dlv_1", "--to", &back.url]).await;
        assert_data_eq!(
            one.to_string(),
            str![[r#"
dlv_3 auth.confirmed sess_test_[..]: delivered, attempt 1/1: 204
exit code: 0

"#]]
        );
        assert_eq!(back.handled().len(), 1);
        let again = at(&emulator, &["resend", "dlv_2"]).await;
        assert_eq!(again.code, Some(1), "the receiver is still away: {again}");

        let changed = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(changed.path(), r#"{"event":"auth.new","session_token":"s"}"#).unwrap();
        let path = changed.path().to_str().unwrap();
        let changed = at(&emulator, &["resend", "dlv_1", "--to", &back.url, "--body", path]).await;
        assert_eq!(changed.code, Some(0), "{changed}");
        assert_eq!(back.handled().last().map(Event::name), Some("auth.new"));

        emulator.update_project(SHOP, ProjectSettings::new().webhook_url(&back.url)).unwrap();
        let all = at(&emulator, &["resend", "--failed", "--project", SHOP, "--json"]).await;
        assert_eq!(all.code, Some(0), "{all}");
        assert_eq!(all.json().len(), 1, "the resend that failed");
        assert_eq!(at(&emulator, &["resend", "--failed"]).await.stdout, "");
    })
    .await;
}

#[tokio::test]
async fn errors_say_what_is_wrong() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let emulator = failed(&receiver.url).await;
        for (args, part) in [
            (&["resend", "dlv_99"][..], "there is no such delivery"),
            (&["resend", "dlv_1", "--to", "http://192.0.2.1/"], "webhook_url must be https://"),
            (&["resend", "1"], "write it like dlv_1"),
            (&["resend"], "required"),
            (&["resend", "dlv_1", "--failed"], "cannot be used with"),
        ] {
            let refused = at(&emulator, args).await;
            assert_eq!(refused.code, Some(2), "{refused}");
            assert!(refused.stderr.contains(part), "{refused}");
        }
        let nobody = run(&["deliveries", "--api-url", "http://127.0.0.1:9"]).await;
        assert!(nobody.stderr.contains("no emulator at http://127.0.0.1:9"), "{nobody}");
    })
    .await;
}
