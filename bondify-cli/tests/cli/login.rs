use bondify_emulator::{Emulator, Persona, ProjectSettings};
use bondify_testkit::within_a_minute;
use serde_json::{Value, json};
use snapbox::{IntoData, assert_data_eq, str};

use crate::support::{self, Finished, Running, SECRET, run};

async fn emulator() -> Emulator {
    let project = ProjectSettings::new().id("proj_1").secret(SECRET).public_access(true);
    support::emulator().project(project).start().await.unwrap()
}

/// Begins a login, calls `tap` with its session token, and returns the result of the command.
async fn log_in(emulator: &Emulator, args: &[&str], tap: impl FnOnce(&str)) -> (Finished, Value) {
    let login = ["login", "--project", "proj_1", "--api-url", emulator.url(), "--json"];
    let mut login = Running::start(&[&login, args].concat());
    let begun = login.json().await;
    let token = begun["session_token"].as_str().unwrap();
    assert!(begun["deeplink"].as_str().unwrap().ends_with(token), "{begun}");
    tap(token);
    let finished = login.end().await;
    let ended = finished.json().pop().unwrap();
    (finished, ended)
}

#[tokio::test]
async fn a_confirmed_login_is_verified() {
    within_a_minute(async {
        let emulator = emulator().await;
        let fox = Persona::new("7999999999", "🦊 Renée").username("fox");
        let (finished, mut ended) = log_in(&emulator, &[], |token| {
            emulator.confirm(token, fox).unwrap();
        })
        .await;
        assert_eq!(finished.code, Some(0));
        let proof = ended.as_object_mut().unwrap().remove("proof").unwrap();
        assert_eq!(proof.as_str().unwrap().split('.').count(), 3);
        assert_eq!(
            ended,
            json!({
                "status": "confirmed",
                "telegram_id": "7999999999",
                "telegram_name": "🦊 Renée",
                "telegram_username": "fox",
            })
        );
    })
    .await;
}

#[tokio::test]
async fn a_proof_that_the_secret_did_not_sign_is_no_login() {
    within_a_minute(async {
        let emulator = emulator().await;
        let tap = |token: &str| drop(emulator.confirm(token, Persona::default()).unwrap());
        let (finished, ended) = log_in(&emulator, &["--secret", "whsec_other"], tap).await;
        assert_eq!((finished.code, &ended["status"]), (Some(1), &json!("unproven")));
    })
    .await;
}

#[tokio::test]
async fn a_used_session_is_a_login_if_it_has_a_proof() {
    within_a_minute(async {
        let emulator = emulator().await;
        let use_it = |token: &str| {
            emulator.confirm(token, Persona::default()).unwrap();
            emulator.use_proof(token).unwrap();
        };
        let (finished, ended) = log_in(&emulator, &[], use_it).await;
        assert_eq!((finished.code, &ended["status"]), (Some(0), &json!("confirmed")));
        emulator.update_project("proj_1", ProjectSettings::new().bare_used(true)).unwrap();
        let (finished, ended) = log_in(&emulator, &[], use_it).await;
        assert_eq!((finished.code, ended), (Some(1), json!({ "status": "used" })));
    })
    .await;
}

#[tokio::test]
async fn a_login_that_is_not_confirmed_fails() {
    within_a_minute(async {
        let emulator = emulator().await;
        let cancel = |token: &str| drop(emulator.cancel(token).unwrap());
        let (finished, ended) = log_in(&emulator, &[], cancel).await;
        assert_eq!((finished.code, ended), (Some(1), json!({ "status": "cancelled" })));
        let expire = |token: &str| drop(emulator.expire(token).unwrap());
        let (finished, ended) = log_in(&emulator, &[], expire).await;
        assert_eq!((finished.code, ended), (Some(1), json!({ "status": "expired" })));
    })
    .await;
}

#[tokio::test]
async fn a_login_is_shown_as_text() {
    within_a_minute(async {
        let emulator = emulator().await;
        let args = ["login", "--project", "proj_1", "--api-url", emulator.url()];
        let mut login = Running::start(&args);
        let mut qr_code = 0;
        let link = loop {
            match login.line().await.split_once("or open ") {
                Some((_, link)) => break link.to_owned(),
                None => qr_code += 1,
            }
        };
        assert!(qr_code > 10, "{qr_code} lines of QR code");
        let token = link.rsplit('=').next().unwrap();
        emulator.confirm(token, Persona::new("1", "Ada\u{1b}[2J")).unwrap();
        assert_data_eq!(
            login.end().await.to_string(),
            str![[r#"
confirmed by Ada\u{1b}[2J, user 1; the proof is valid
exit code: 0

"#]]
            .raw()
        );
    })
    .await;
}

#[tokio::test]
async fn a_refusal_of_the_api_is_an_error() {
    within_a_minute(async {
        let emulator = emulator().await;
        let args = ["login", "--project", "proj_nobodys", "--api-url", emulator.url()];
        assert_data_eq!(
            run(&args).await.to_string(),
            str![[r#"
stderr: error: the API refused: 404 Not Found (PROJECT_NOT_FOUND): [..]
exit code: 2

"#]]
        );
    })
    .await;
}
