use std::{future::pending, sync::Arc};

use axum::{Router, http::StatusCode, routing::post};
use bondify_testkit::within_a_minute;
use snapbox::{assert_data_eq, str};
use tokio::{net::TcpStream, sync::Notify};

use crate::support::{Finished, Recorder, Running, bondify, serve};

#[tokio::test]
async fn a_trigger_cut_short_sums_up_and_fails() {
    within_a_minute(async {
        let (_, url) = Recorder::start(|| StatusCode::OK).await;
        let args = ["trigger", "auth.cancelled", "--url", &url, "--count", "1000000000", "--json"];
        let mut trigger = Running::start(&args);
        trigger.line().await;
        trigger.signal("INT").await;
        let finished = trigger.end().await;
        assert_eq!((finished.code, &*finished.stderr), (Some(130), ""));
        let summary = &finished.json().pop().unwrap()["summary"];
        assert!(summary["accepted"].as_u64().unwrap() >= 1, "{summary}");
        assert_eq!(summary["accepted"], summary["deliveries"]);
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_not_waited_for_any_longer() {
    within_a_minute(async {
        let arrived = Arc::new(Notify::new());
        let notify = Arc::clone(&arrived);
        let silent = Router::new().fallback(post(async move || {
            notify.notify_one();
            pending::<StatusCode>().await
        }));
        let url = serve(silent).await;
        let trigger = Running::start(&["trigger", "auth.cancelled", "--url", &url]);
        arrived.notified().await;
        trigger.signal("TERM").await;
        assert_data_eq!(
            trigger.end().await.to_string(),
            str![[r#"
0 of 0 accepted in [..] ms
exit code: 130

"#]]
        );
    })
    .await;
}

#[tokio::test]
async fn a_listener_ends_well() {
    within_a_minute(async {
        for signal in ["INT", "TERM"] {
            let mut listener = Running::start(&["listen", "--port", "0"]);
            listener.line().await;
            listener.signal(signal).await;
            let finished = listener.end().await;
            assert_eq!((finished.code, &*finished.stderr), (Some(0), ""), "{signal}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_second_ctrl_c_does_not_wait_for_what_is_under_way() {
    within_a_minute(async {
        let mut listener = Running::start(&["listen", "--port", "0", "--json"]);
        let url = listener.json().await["listening"].as_str().unwrap().to_owned();
        // Half a request, which the first Ctrl-C waits for.
        let address = url.strip_prefix("http://").unwrap();
        let half = TcpStream::connect(address).await.unwrap();
        half.writable().await.unwrap();
        half.try_write(b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n").unwrap();
        listener.signal("INT").await;
        while TcpStream::connect(address).await.is_ok() {}
        listener.signal("INT").await;
        assert_eq!(listener.end().await.code, Some(130));
    })
    .await;
}

#[tokio::test]
async fn quietly_when_nobody_reads_on() {
    within_a_minute(async {
        let (_, url) = Recorder::start(|| StatusCode::OK).await;
        let args = ["trigger", "auth.cancelled", "--url", &url, "--count", "1000000000", "--json"];
        let mut trigger = Running::start(&args);
        trigger.line().await;
        let finished = trigger.hang_up().await;
        assert_eq!((finished.code, &*finished.stderr), (Some(141), ""));
    })
    .await;
}

#[tokio::test]
async fn quietly_when_nobody_reads_at_all() {
    within_a_minute(async {
        for args in [&["completions", "bash"][..], &["man"], &["listen", "--port", "0"]] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let child = bondify(args).stdout(writer).spawn().unwrap();
            let finished = Finished::from(child.wait_with_output().await.unwrap());
            assert_eq!((finished.code, &*finished.stderr), (Some(141), ""), "{args:?}");
        }
    })
    .await;
}
