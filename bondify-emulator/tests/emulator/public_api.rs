use std::time::Duration;

use bondify_core::ProofVerifier;
use bondify_emulator::{Emulator, Persona, Plan, ProjectSettings};
use serde_json::{Value, json};

use crate::support::{Answer, SHOP, TestClock, answer, plain, post, request, shop, start};

const GENERATE: &str = "/api/v1/generate/public";
const VERIFY: &str = "/api/v1/verify/public";

async fn verify(emulator: &Emulator, token: &str) -> Answer {
    post(emulator, VERIFY, json!({"project_id": SHOP, "session_token": token})).await
}

#[tokio::test]
async fn generate_answers_with_a_token_a_deeplink_and_an_expiry_time() {
    let clock = TestClock::new();
    let emulator = start(clock.of(Emulator::builder()), ProjectSettings::new()).await;
    let answer = post(&emulator, GENERATE, json!({"project_id": SHOP})).await;
    assert_eq!(answer.status, 200);
    let token = answer.json["session_token"].as_str().unwrap();
    assert!(token.starts_with("sess_"));
    let deeplink = format!("{}/bot?start={token}", emulator.url());
    let expires_at = 1_700_000_000_123_u64 + 600_000;
    let expected = json!({"session_token": token, "deeplink": deeplink, "expires_at": expires_at});
    assert_eq!(answer.json, expected);
}

#[tokio::test]
async fn a_new_session_is_pending() {
    let emulator = plain().await;
    let token = emulator.generate(SHOP).unwrap().token;
    assert_eq!(verify(&emulator, &token).await.json, json!({"status": "pending"}));
}

#[tokio::test]
async fn a_confirmed_session_has_the_user_and_a_proof() {
    let clock = TestClock::new();
    let emulator = start(clock.of(Emulator::builder()), ProjectSettings::new()).await;
    let token = emulator.generate(SHOP).unwrap().token;
    emulator.confirm(&token, Persona::default()).unwrap();
    clock.advance(Duration::from_secs(2));
    let answer = verify(&emulator, &token).await;
    let Value::Object(mut fields) = answer.json else { panic!("an object") };
    let proof = fields.remove("proof").unwrap();
    let expected = json!({
        "status": "confirmed",
        "telegram_id": "7123456789",
        "telegram_name": "Ada Lovelace",
        "telegram_username": "ada",
        "confirmed_at": 1_700_000_000_123_u64,
    });
    assert_eq!(Value::Object(fields), expected);

    let now = clock.clone();
    let verifier = ProofVerifier::new(shop(&emulator).secret()).project(SHOP);
    let proof = verifier.clock(move || now.now()).verify(proof.as_str().unwrap()).unwrap();
    assert_eq!(proof.user().id().as_str(), "7123456789");
    assert_eq!(proof.user().name(), "Ada Lovelace");
    assert_eq!(proof.user().username(), Some("ada"));
    assert_eq!(proof.user().phone(), None);
    assert_eq!((proof.project_id(), proof.session_token()), (SHOP, &*token));
    assert_eq!(proof.confirmed_at(), Some(clock.now() - Duration::from_secs(2)));
    assert_eq!(proof.expires_at(), proof.issued_at() + Duration::from_secs(300));
    assert!(clock.now().duration_since(proof.issued_at()).unwrap() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_shared_phone_number_is_in_the_answer_and_in_the_proof() {
    let settings = ProjectSettings::new().plan(Plan::Pro).req_phone(true);
    let emulator = start(Emulator::builder(), settings).await;
    let token = emulator.generate(SHOP).unwrap().token;
    emulator.confirm(&token, Persona::new("1", "Ada").phone("+44")).unwrap();
    let answer = verify(&emulator, &token).await;
    assert_eq!(answer.json["telegram_phone"], "+44");
    assert_eq!(answer.json["telegram_username"], Value::Null);
    let verifier = ProofVerifier::new(shop(&emulator).secret());
    let proof = verifier.verify(answer.json["proof"].as_str().unwrap()).unwrap();
    assert_eq!(proof.user().phone(), Some("+44"));
}

#[tokio::test]
async fn a_used_session_still_has_the_user_and_a_proof() {
    let emulator = plain().await;
    let token = emulator.generate(SHOP).unwrap().token;
    emulator.confirm(&token, Persona::new("1", "Ada")).unwrap();
    for _ in 0..2 {
        assert!(verify(&emulator, &token).await.json["proof"].is_string());
    }
    emulator.use_proof(&token).unwrap();
    let answer = verify(&emulator, &token).await.json;
    assert_eq!((&answer["status"], &answer["telegram_id"]), (&json!("used"), &json!("1")));
    let proof = answer["proof"].as_str().unwrap();
    ProofVerifier::new(shop(&emulator).secret()).verify(proof).unwrap();
}

#[tokio::test]
async fn a_cancelled_session_has_the_time_of_the_cancellation() {
    let clock = TestClock::new();
    let emulator = start(clock.of(Emulator::builder()), ProjectSettings::new()).await;
    let token = emulator.generate(SHOP).unwrap().token;
    emulator.cancel(&token).unwrap();
    let expected = json!({"status": "cancelled", "cancelled_at": 1_700_000_000_123_u64});
    assert_eq!(verify(&emulator, &token).await.json, expected);
}

#[tokio::test]
async fn a_session_expires_after_ten_minutes_or_the_lifetime_that_is_set() {
    for (set, lifetime) in [(None, 600), (Some(Duration::from_secs(5)), 5)] {
        let clock = TestClock::new();
        let builder = clock.of(Emulator::builder());
        let builder = set.into_iter().fold(builder, |builder, set| builder.session_lifetime(set));
        let emulator = start(builder, ProjectSettings::new()).await;
        let token = emulator.generate(SHOP).unwrap().token;
        clock.advance(Duration::from_secs(lifetime) - Duration::from_millis(1));
        assert_eq!(verify(&emulator, &token).await.json, json!({"status": "pending"}));
        clock.advance(Duration::from_millis(1));
        assert_eq!(verify(&emulator, &token).await.json, json!({"status": "expired"}));
    }
}

#[tokio::test]
async fn a_missing_or_malformed_parameter_is_a_bad_request() {
    let emulator = plain().await;
    for path in [GENERATE, VERIFY] {
        for body in ["", "{}", "[]", "nonsense", r#"{"project_id":7}"#, "\u{0}"] {
            let answer = answer(request(&emulator, "POST", path).body(body)).await;
            assert_eq!(answer.error(), (400, "BAD_REQUEST"), "{path} {body}");
        }
    }
    let answer = post(&emulator, VERIFY, json!({"project_id": SHOP})).await;
    assert_eq!(answer.error(), (400, "BAD_REQUEST"));
}

#[tokio::test]
async fn a_project_has_to_exist_be_active_and_be_public() {
    let emulator = plain().await;
    let token = emulator.generate(SHOP).unwrap().token;
    let calls = async |project: &str| {
        let generated = post(&emulator, GENERATE, json!({"project_id": project})).await;
        let verify = json!({"project_id": project, "session_token": token});
        let verified = post(&emulator, VERIFY, verify).await;
        assert_eq!(generated.error(), verified.error());
        (generated.status, generated.json["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(calls("proj_other").await, (404, "PROJECT_NOT_FOUND".to_owned()));
    emulator.update_project(SHOP, ProjectSettings::new().public_access(false)).unwrap();
    assert_eq!(calls(SHOP).await, (403, "PUBLIC_ACCESS_DISABLED".to_owned()));
    emulator.update_project(SHOP, ProjectSettings::new().active(false)).unwrap();
    assert_eq!(calls(SHOP).await, (403, "PROJECT_INACTIVE".to_owned()));
}

#[tokio::test]
async fn a_session_of_another_project_is_not_found() {
    let emulator = plain().await;
    emulator.add_project(ProjectSettings::new().id("proj_blog").public_access(true)).unwrap();
    let foreign = emulator.generate("proj_blog").unwrap().token;
    for token in [&*foreign, "sess_unheard_of", ""] {
        let answer = verify(&emulator, token).await;
        assert_eq!(answer.error(), (404, "SESSION_NOT_FOUND"), "{token}");
    }
}

#[tokio::test]
async fn too_many_requests_are_answered_with_retry_after() {
    let clock = TestClock::new();
    let builder = clock.of(Emulator::builder()).rate_limit(4);
    let emulator = start(builder, ProjectSettings::new()).await;
    emulator.add_project(ProjectSettings::new().id("proj_blog").public_access(true)).unwrap();
    for _ in 0..4 {
        assert_eq!(post(&emulator, GENERATE, json!({"project_id": SHOP})).await.status, 200);
    }
    let refused = post(&emulator, GENERATE, json!({"project_id": SHOP})).await;
    assert_eq!(refused.error(), (429, "RATE_LIMITED"));
    assert_eq!(refused.header("retry-after"), Some("15"));
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    let other = post(&emulator, GENERATE, json!({"project_id": "proj_blog"})).await;
    assert_eq!(other.status, 200);
    clock.advance(Duration::from_secs(15));
    assert_eq!(post(&emulator, GENERATE, json!({"project_id": SHOP})).await.status, 200);
}

#[tokio::test]
async fn browsers_of_any_origin_may_call() {
    let emulator = plain().await;
    for path in [GENERATE, VERIFY] {
        let preflight = request(&emulator, "OPTIONS", path)
            .header("origin", "https://shop.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type");
        let preflight = answer(preflight).await;
        assert_eq!(preflight.status, 200);
        assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
        assert_eq!(preflight.header("access-control-allow-methods"), Some("POST"));
        assert_eq!(preflight.header("access-control-allow-headers"), Some("content-type"));
        assert_eq!(preflight.header("access-control-allow-credentials"), None);
    }
    let call = request(&emulator, "POST", GENERATE)
        .header("origin", "https://shop.example")
        .body(json!({"project_id": SHOP}).to_string());
    let answered = answer(call).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answered.header("access-control-expose-headers"), Some("retry-after"));
}

#[tokio::test]
async fn an_unknown_path_is_answered_in_json() {
    let emulator = plain().await;
    let call = async |method, path| {
        let answer = answer(request(&emulator, method, path)).await;
        (answer.status, answer.json["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(call("GET", GENERATE).await, (405, "METHOD_NOT_ALLOWED".to_owned()));
    assert_eq!(call("GET", "/emulator/reset").await, (405, "METHOD_NOT_ALLOWED".to_owned()));
    assert_eq!(call("POST", "/api/v1/generate").await, (404, "NOT_FOUND".to_owned()));
}
