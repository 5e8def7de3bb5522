use axum::http::StatusCode;
use bondify_axum::Event;
use bondify_client::Client;
use bondify_emulator::Reading;
use bondify_testkit::within_a_minute;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};
use tempfile::tempdir;

use crate::support::{Receiver, Running, SECRET, bondify, run};

/// An emulator of the project `proj_local`, and its first line of output.
async fn emulate(args: &[&str]) -> (Running, Value) {
    let mut emulator = Running::start(&[&["emulate", "--port", "0", "--json"], args].concat());
    let ready = emulator.json().await["ready"].take();
    (emulator, ready)
}

/// Confirms a new session and returns its token.
async fn log_in(ready: &Value) -> String {
    let url = ready["api_url"].as_str().unwrap();
    let client = Client::builder().base_url(url).build().unwrap();
    let session = client.sessions("proj_local").generate().await.unwrap();
    let token = session.session_token().to_owned();
    let confirm = format!("{url}/emulator/sessions/{token}/confirm");
    let confirm = reqwest::Client::builder().no_proxy().build().unwrap().post(confirm);
    confirm.body("{}").send().await.unwrap().error_for_status().unwrap();
    token
}

#[tokio::test]
async fn a_login_is_delivered() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let (mut emulator, ready) = emulate(&["--webhook-url", &receiver.url]).await;
        assert_eq!(ready["webhook_url"], receiver.url);
        let token = log_in(&ready).await;
        let attempt = emulator.json().await;
        assert!(attempt["latency_ms"].is_f64());
        let attempt = ["event", "session_token", "attempt", "max_attempts", "status", "state"]
            .map(|field| attempt[field].clone());
        assert_eq!(json!(attempt), json!(["auth.confirmed", token, 1, 4, 204, "delivered"]));
        let [Event::Confirmed(login)] = &receiver.handled()[..] else { panic!("one login") };
        assert_eq!(login.session_token(), token);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_fails_is_tried_again() {
    within_a_minute(async {
        let receiver = Receiver::answering(StatusCode::SERVICE_UNAVAILABLE).await;
        let args = ["emulate", "--port=0", "--retries=1", "--retry-base=10ms", "--webhook-url"];
        let mut emulator = Running::start(&[&args[..], &[&receiver.url]].concat());
        let ready = emulator.line().await;
        let url = ready.split_whitespace().find(|word| word.starts_with("http://"));
        emulator.line().await; // the inspector
        emulator.line().await; // the developer token
        log_in(&json!({ "api_url": url })).await;
        let attempts = [emulator.line().await, emulator.line().await];
        assert_data_eq!(
            attempts.join("\n"),
            str![[r#"
dlv_1 auth.confirmed 1/2: 503 Service Unavailable in [..] ms
dlv_1 auth.confirmed 2/2: 503 Service Unavailable in [..] ms
"#]]
        );
        emulator.signal("INT").await;
        assert_eq!(emulator.end().await.stdout, "");
    })
    .await;
}

#[tokio::test]
async fn other_plans_have_more_attempts() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        for plan in ["pro", "business"] {
            let args = ["--plan", plan, "--webhook-url", &receiver.url];
            let (mut emulator, ready) = emulate(&args).await;
            log_in(&ready).await;
            assert_eq!(emulator.json().await["max_attempts"], 7, "{plan}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_answer_in_time_is_a_failure() {
    within_a_minute(async {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let args = ["--webhook-url", &url, "--timeout=100ms", "--retries=0"];
        let (mut emulator, ready) = emulate(&args).await;
        log_in(&ready).await;
        let attempt = emulator.json().await;
        assert_eq!((&attempt["error"], &attempt["state"]), (&json!("timed out"), &json!("failed")));
    })
    .await;
}

#[tokio::test]
async fn generated_secrets_are_shown_and_given_ones_are_not() {
    within_a_minute(async {
        let mut command = bondify(&["emulate", "--port", "0"]);
        command.env_remove("BONDIFY_WEBHOOK_SECRET");
        let mut emulator = Running::of(command);
        let mut lines = Vec::new();
        for _ in 0..4 {
            lines.push(emulator.line().await);
        }
        assert_data_eq!(
            lines.join("\n"),
            str![[r#"
proj_local is at http://127.0.0.1:[..] and delivers nothing: set the webhook URL with --webhook-url or in the inspector
inspector: http://127.0.0.1:[..]/
webhook secret: whsec_[..]
developer token: dev_[..]
"#]]
        );

        let mut command = bondify(&["emulate", "--port", "0", "--json"]);
        command.env("BONDIFY_DEVELOPER_TOKEN", "dev_hush");
        let ready = Running::of(command).line().await;
        assert!(!ready.contains(SECRET) && !ready.contains("dev_"), "{ready}");
    })
    .await;
}

#[tokio::test]
async fn state_is_kept_in_a_file() {
    within_a_minute(async {
        let directory = tempdir().unwrap();
        let file = directory.path().join("state.db");
        let mut secrets = Vec::new();
        for _ in 0..2 {
            let state = format!("--state={}", file.display());
            let mut command = bondify(&["emulate", "--port", "0", "--json", &state]);
            command.env_remove("BONDIFY_WEBHOOK_SECRET");
            let mut emulator = Running::of(command);
            secrets.push(emulator.json().await["ready"]["webhook_secret"].take());
            emulator.signal("TERM").await;
            assert_eq!(emulator.end().await.code, Some(0));
        }
        assert!(secrets[0].is_string());
        assert_eq!(secrets[0], secrets[1]);
    })
    .await;
}

#[tokio::test]
async fn invalid_options_are_refused() {
    within_a_minute(async {
        let (_emulator, ready) = emulate(&[]).await;
        let port = ready["api_url"].as_str().unwrap().rsplit(':').next().unwrap();
        let refused = run(&["emulate", "--port", port]).await;
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.starts_with("error: cannot listen on"), "{refused}");
        let remote = ["emulate", "--port=0", "--webhook-url", "http://192.168.0.7/"];
        let refused = run(&remote).await;
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains("webhook_url"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn it_answers_as_the_readings_say() {
    within_a_minute(async {
        let args = ["--reading=no-status", "--reading", "text-times"];
        let (_emulator, ready) = emulate(&args).await;
        let token = log_in(&ready).await;
        let url = format!("{}/api/v1/verify/public", ready["api_url"].as_str().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = json!({"project_id": "proj_local", "session_token": token});
        let answer = client.post(url).body(body.to_string()).send().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert!(answer["confirmed_at"].is_string() && answer.get("status").is_none(), "{answer}");
        let unknown = run(&["emulate", "--reading=every"]).await;
        assert_eq!(unknown.code, Some(2));
        assert!(unknown.stderr.contains("no-status"), "{unknown}");
        let help = run(&["emulate", "--help"]).await.stdout;
        assert!(Reading::ALL.iter().all(|reading| help.contains(reading.name())), "{help}");
    })
    .await;
}
