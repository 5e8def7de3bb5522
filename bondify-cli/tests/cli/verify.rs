use bondify_testkit::within_a_minute;
use serde_json::json;
use snapbox::{assert_data_eq, str};

use crate::support::{Finished, run_with};

const BODY: &str = r#"{"event":"auth.cancelled","session_token":"sess_1","cancelled_at":1}"#;

async fn sign(body: &str) -> String {
    run_with(&["sign"], body).await.stdout.trim().to_owned()
}

/// The output of `verify` for the signature of `BODY` and the body `received`.
async fn verify(received: &str, args: &[&str]) -> Finished {
    let signature = sign(BODY).await;
    run_with(&[&["verify", "--signature", &signature], args].concat(), received).await
}

#[tokio::test]
async fn a_valid_signature_is_verified() {
    within_a_minute(async {
        let unknown = r#"{"event":"auth.new"}"#;
        let signature = sign(unknown).await;
        let verified = run_with(&["verify", "--signature", &signature], unknown).await;
        assert_data_eq!(
            verified.to_string(),
            str![[r#"
verified: auth.new
exit code: 0

"#]]
        );
        let upper = signature.to_uppercase();
        let verified = run_with(&["verify", "--signature", &upper, "--json"], unknown).await;
        assert_eq!(verified.code, Some(0));
        assert_eq!(verified.json(), [json!({ "verified": true, "event": "auth.new" })]);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_receivers_refuse_is_marked() {
    within_a_minute(async {
        assert_data_eq!(
            verify(BODY, &[]).await.to_string(),
            str![[r#"
verified, but a receiver still refuses it: the event is outside the tolerance
exit code: 0

"#]]
        );
    })
    .await;
}

#[tokio::test]
async fn a_likely_mistake_in_the_body_is_named() {
    within_a_minute(async {
        assert_data_eq!(
            verify(&format!("{BODY}\n"), &[]).await.to_string(),
            str![[r#"
not verified: the body is likely wrong: it was signed without the whitespace around it
exit code: 1

"#]]
        );
    })
    .await;
}

#[tokio::test]
async fn a_likely_mistake_in_the_secret_is_named() {
    within_a_minute(async {
        assert_data_eq!(
            verify(BODY, &["--secret", "test"]).await.to_string(),
            str![[r#"
not verified: the secret is likely wrong: `whsec_` is missing before it; it is part of Bondify's key
exit code: 1

"#]]
        );
        let refused = verify(BODY, &["--secret", "whsec_another", "--json"]).await;
        assert_eq!(refused.code, Some(1));
        let [judged] = &refused.json()[..] else { panic!("{refused}") };
        assert_eq!((&judged["verified"], &judged["cause"]), (&json!(false), &json!("secret")));
    })
    .await;
}

#[tokio::test]
async fn a_likely_mistake_in_the_format_is_named() {
    within_a_minute(async {
        let prefixed = format!("sha256={}", sign(BODY).await);
        assert_data_eq!(
            run_with(&["verify", "--signature", &prefixed], BODY).await.to_string(),
            str![[r#"
not verified: the format of the signature is likely wrong: `sha256=` comes before the 64 hexadecimal digits; Bondify sends none
exit code: 1

"#]]
        );
    })
    .await;
}
