use std::{future::pending, sync::Arc};

use axum::{Router, http::StatusCode, routing::post};
use bondify_testkit::within_a_minute;
use snapbox::{assert_data_eq, str};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::support::{Finished, Recorder, Running, bondify, serve};

#[tokio::test]
async fn an_interrupted_trigger_summarises_and_fails() {
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
        let sent = summary["deliveries"].as_u64().unwrap();
        assert_eq!(summary["not_sent"], 1_000_000_000 - sent);
    })
    .await;
}

#[tokio::test]
async fn an_interrupted_trigger_does_not_wait_for_the_answer() {
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
0 of 0 accepted in [..] ms, interrupted: 1 not sent
exit code: 130

"#]]
        );
    })
    .await;
}

#[tokio::test]
async fn a_signal_ends_a_server_with_success() {
    within_a_minute(async {
        for (command, signal) in [("listen", "INT"), ("listen", "TERM"), ("emulate", "INT")] {
            let mut server = Running::start(&[command, "--port", "0"]);
            server.line().await;
            server.signal(signal).await;
            let finished = server.end().await;
            assert_eq!((finished.code, &*finished.stderr), (Some(0), ""), "{command} {signal}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_second_ctrl_c_does_not_wait_for_a_request_in_flight() {
    within_a_minute(async {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent_url = format!("http://{}", silent.local_addr().unwrap());
        let args = ["listen", "--port=0", "--json", "--timeout=1h", "--forward-to", &silent_url];
        let mut listener = Running::start(&args);
        let url = listener.json().await["listening"].as_str().unwrap().to_owned();
        let _sender = Running::start(&["trigger", "auth.cancelled", "--url", &url]);
        let _in_flight = silent.accept().await.unwrap();
        let mut idle = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        idle.read_u8().await.unwrap();

        listener.signal("INT").await;
        idle.read_to_end(&mut Vec::new()).await.unwrap();
        listener.signal("INT").await;
        assert_eq!(listener.end().await.code, Some(130));
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_closes_standard_output_ends_the_command_quietly() {
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
async fn a_standard_output_that_is_closed_from_the_start_ends_the_command_quietly() {
    within_a_minute(async {
        for args in [
            &["completions", "bash"][..],
            &["man"],
            &["listen", "--port", "0"],
            &["emulate", "--port=0"],
        ] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let child = bondify(args).stdout(writer).spawn().unwrap();
            let finished = Finished::from(child.wait_with_output().await.unwrap());
            assert_eq!((finished.code, &*finished.stderr), (Some(141), ""), "{args:?}");
        }
    })
    .await;
}
