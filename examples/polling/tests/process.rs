//! The example as a process, against an API with scripted answers.

use std::process::{Output, Stdio};

use bondify_core::Secret;
use bondify_testkit::{Answer, Payload, ScriptedServer, within_a_minute};
use serde_json::{Value, json};
use tokio::process::Command;

const PROJECT: &str = "proj_test";

/// The example's settings, and the variable that adds a backtrace to an error.
const VARIABLES: [&str; 4] =
    ["BONDIFY_PROJECT_ID", "BONDIFY_API_URL", "BONDIFY_WEBHOOK_SECRET", "RUST_BACKTRACE"];

/// The standard output, the standard error and the exit code of the example.
async fn run(variables: &[(&str, &str)]) -> (String, String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_example-polling"));
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    // A proxy that does not exist: requests to loopback addresses use no proxy.
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(variable, "http://127.0.0.1:1");
    }
    command.env_remove("no_proxy").env_remove("NO_PROXY");
    command.envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let Output { stdout, stderr, status } = command.output().await.expect("it starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(&stdout), text(&stderr), status.code())
}

async fn run_against(
    answers: impl IntoIterator<Item = Value>,
    variables: &[(&str, &str)],
) -> (String, String, Option<i32>) {
    let generated = json!({"session_token": "sess_1", "deeplink": "https://t.me/b?start=sess_1"});
    let answers = [generated].into_iter().chain(answers);
    let server = ScriptedServer::start(answers.map(|answer| Answer::json(200, answer))).await;
    let url = server.url();
    let set = [("BONDIFY_API_URL", &*url), ("BONDIFY_PROJECT_ID", PROJECT)];
    run(&[&set, variables].concat()).await
}

fn confirmed(secret: &str) -> Value {
    let secret = Secret::new(secret).expect("it is one");
    let proof = Payload::proof().telegram_name("Ada").telegram_id("42").proof_signed_with(&secret);
    json!({"status": "confirmed", "telegram_id": "7", "telegram_name": "Eve", "proof": proof})
}

#[tokio::test]
async fn it_shows_the_link_waits_and_says_who_logged_in_by_the_proof() {
    within_a_minute(async {
        let answers = [json!({"status": "pending"}), confirmed("whsec_test")];
        let (printed, errors, code) =
            run_against(answers, &[("BONDIFY_WEBHOOK_SECRET", "whsec_test")]).await;
        assert_eq!(code, Some(0), "{errors}");
        assert!(printed.contains("open https://t.me/b?start=sess_1\n"), "{printed}");
        assert!(printed.contains("█ ▄▄▄▄▄ █"), "the corner of a QR code: {printed}");
        assert!(printed.ends_with("\"Ada\" logged in, user 42; the proof is valid\n"), "{printed}");
    })
    .await;
}

#[tokio::test]
async fn without_a_secret_it_says_who_logged_in_by_the_api() {
    within_a_minute(async {
        let (printed, errors, code) = run_against([confirmed("whsec_other")], &[]).await;
        assert_eq!(code, Some(0), "{errors}");
        assert!(printed.ends_with("user 7; the proof was not verified\n"), "{printed}");
    })
    .await;
}

#[tokio::test]
async fn a_forged_proof_is_a_failure() {
    within_a_minute(async {
        let secret = [("BONDIFY_WEBHOOK_SECRET", "whsec_test")];
        let (printed, errors, code) = run_against([confirmed("whsec_other")], &secret).await;
        assert_eq!(code, Some(1));
        assert!(errors.contains("the signature is not valid for this proof"), "{errors}");
        assert!(!printed.contains("logged in"), "{printed}");
    })
    .await;
}

#[tokio::test]
async fn every_other_end_has_its_line() {
    within_a_minute(async {
        for (answer, line) in [
            (json!({"status": "cancelled", "cancelled_at": 1_700_000_000_000_u64}), "cancelled\n"),
            (json!({"status": "expired"}), "expired\n"),
            (json!({"status": "used"}), "this login was completed before\n"),
        ] {
            let (printed, errors, code) = run_against([answer], &[]).await;
            assert_eq!(code, Some(0), "{errors}");
            assert!(printed.ends_with(line), "{printed}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_missing_or_bad_setting_is_exit_code_2_and_named() {
    within_a_minute(async {
        let project = ("BONDIFY_PROJECT_ID", PROJECT);
        let cases: [(&[(&str, &str)], &str); 3] = [
            (&[], "BONDIFY_PROJECT_ID is not set"),
            (&[project, ("BONDIFY_API_URL", "localhost:4000")], "base URL"),
            (&[project, ("BONDIFY_WEBHOOK_SECRET", "whsec_test\n")], "whitespace"),
        ];
        for (variables, message) in cases {
            let (_, errors, code) = run(variables).await;
            assert_eq!(code, Some(2), "{errors}");
            assert!(errors.contains(message) && !errors.contains("whsec_test"), "{errors}");
        }
    })
    .await;
}
