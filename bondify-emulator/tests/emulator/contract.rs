//! The contract of the API beyond the types of its answers, which `schemas` has.

use bondify_emulator::{Emulator, Error, Fault, Outcome, Persona, ProjectSettings, Resend};
use bondify_testkit::within_a_minute;
use serde_json::{Value, json};

use crate::support::{SHOP, answer, plain, post, request, shop, start};

async fn developer(emulator: &Emulator, method: &str, path: &str, body: Value) -> Value {
    let request = request(emulator, method, &format!("/api/v1/dev/{path}"));
    let request = request.bearer_auth(emulator.developer_token()).body(body.to_string());
    let answer = answer(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json
}

async fn get(emulator: &Emulator, path: &str) -> Value {
    developer(emulator, "GET", path, Value::Null).await
}

async fn verify(emulator: &Emulator, token: &str) -> Value {
    let body = json!({"project_id": SHOP, "session_token": token});
    post(emulator, "/api/v1/verify/public", body).await.json
}

fn generate(emulator: &Emulator) -> String {
    emulator.generate(SHOP).unwrap().token
}

#[tokio::test]
async fn a_used_session_has_user_and_proof_unless_bare_used_is_set() {
    let emulator = plain().await;
    let token = generate(&emulator);
    emulator.confirm(&token, Persona::default()).unwrap();
    emulator.use_proof(&token).unwrap();
    let used = verify(&emulator, &token).await;
    assert_eq!(used["status"], "used");
    assert!(used["proof"].is_string() && used["telegram_id"].is_string(), "{used}");
    emulator.update_project(SHOP, ProjectSettings::new().bare_used(true)).unwrap();
    assert_eq!(verify(&emulator, &token).await, json!({"status": "used"}));
}

#[tokio::test]
async fn a_new_project_has_the_documented_defaults() {
    let emulator = Emulator::builder().start().await.unwrap();
    developer(&emulator, "POST", "projects", json!({"name": "Shop"})).await;
    let listed = get(&emulator, "projects").await;
    let project = &listed["projects"][0];
    assert_eq!(project["webhook_url"], Value::Null);
    for (field, default) in [("active", true), ("public_access", false), ("req_phone", false)] {
        assert_eq!(project[field], default, "{field}");
    }
    let body = json!({"project_id": project["project_id"]});
    let refused = post(&emulator, "/api/v1/generate/public", body).await;
    assert_eq!(refused.error(), (403, "PUBLIC_ACCESS_DISABLED"));
}

#[tokio::test]
async fn the_secret_key_is_not_the_webhook_secret() {
    let emulator = Emulator::builder().start().await.unwrap();
    let created = developer(&emulator, "POST", "projects", json!({"name": "Shop"})).await;
    let id = created["project_id"].as_str().unwrap();
    let path = format!("projects/{id}/webhook-secret");
    let secret = get(&emulator, &path).await;
    assert_ne!(secret["webhook_secret"], created["secret_key"]);
    let project = emulator.project(id).unwrap();
    assert_eq!(secret["webhook_secret"], project.reveal_secret());
    assert_eq!(created["secret_key"], project.reveal_secret_key());
    let listed = get(&emulator, "projects").await;
    let preview = created["secret_key"].as_str().unwrap()[..12].to_owned();
    assert_eq!(listed["projects"][0]["secret_preview"], preview);
    assert_eq!(listed["projects"][0]["secret_key"], format!("{preview}…"));

    let path = format!("projects/{id}/regenerate");
    let regenerated = developer(&emulator, "POST", &path, Value::Null).await;
    assert_ne!(regenerated["secret_key"], created["secret_key"]);
    let changed = emulator.project(id).unwrap();
    assert_eq!(regenerated["secret_key"], changed.reveal_secret_key());
    assert_ne!(changed.reveal_secret(), project.reveal_secret());
}

#[tokio::test]
async fn null_and_an_empty_text_remove_a_webhook_url() {
    let emulator = plain().await;
    let path = format!("projects/{SHOP}");
    for removed in [json!({"webhook_url": null}), json!({"webhook_url": ""})] {
        let set = json!({"webhook_url": "https://shop.example/"});
        developer(&emulator, "PATCH", &path, set).await;
        developer(&emulator, "PATCH", &path, json!({"name": "Shop", "bot_token": null})).await;
        assert!(shop(&emulator).webhook_url.is_some(), "an absent field changes nothing");
        let answer = developer(&emulator, "PATCH", &path, removed.clone()).await;
        assert_eq!(answer, json!({"ok": true}));
        assert!(shop(&emulator).webhook_url.is_none(), "{removed}");
    }
    emulator
        .update_project(SHOP, ProjectSettings::new().webhook_url("https://shop.example/"))
        .unwrap();
    let control = request(&emulator, "PATCH", &format!("/emulator/projects/{SHOP}"));
    let answer = answer(control.body(json!({"webhook_url": null}).to_string())).await;
    assert_eq!(answer.json["webhook_url"], Value::Null);
}

#[tokio::test]
async fn sessions_of_one_project_are_listed() {
    let emulator = plain().await;
    generate(&emulator);
    generate(&emulator);
    let other = emulator.add_project(ProjectSettings::new().id("proj_blog")).unwrap();
    emulator.generate(&other.id).unwrap();
    let listed = get(&emulator, &format!("sessions?project_id={SHOP}")).await;
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 2);
    let control = format!("/emulator/sessions?project_id={}", other.id);
    let listed = answer(request(&emulator, "GET", &control)).await.json;
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
    let unknown = answer(request(&emulator, "GET", "/emulator/sessions?project_id=x")).await;
    assert_eq!(unknown.error(), (404, "PROJECT_NOT_FOUND"));
}

#[tokio::test]
async fn an_error_has_its_code() {
    let emulator = plain().await;
    let refused = post(&emulator, "/api/v1/generate/public", json!({"project_id": "x"})).await;
    assert_eq!(refused.error(), (404, Error::ProjectNotFound.code()));
}

#[tokio::test]
async fn every_delivery_of_an_unreachable_project_fails_until_it_is_reachable() {
    within_a_minute(async {
        let url = "http://127.0.0.1:9/";
        let settings = ProjectSettings::new().webhook_url(url).faults([Fault::Unreachable]);
        let emulator = start(Emulator::builder().retries(0), settings).await;
        for end in [
            |emulator: &Emulator, token: &str| emulator.confirm(token, Persona::default()),
            |emulator: &Emulator, token: &str| emulator.cancel(token),
        ] {
            let token = generate(&emulator);
            end(&emulator, &token).unwrap();
            let delivery = emulator.delivery_of(&token).await.unwrap();
            assert_eq!(delivery.attempts[0].outcome, Outcome::Unreachable);
        }
        emulator.set_faults(SHOP, []).unwrap();
        let resent = emulator.resend(emulator.deliveries()[0].id, Resend::new()).unwrap();
        let resent = emulator.finished(resent.id).await.unwrap();
        assert!(matches!(resent.attempts[0].outcome, Outcome::Disconnected { .. }), "it was sent");
    })
    .await;
}
