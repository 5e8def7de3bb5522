//! The types of the official SDKs as a table: each answer's fields, by name, type and null.

use bondify_emulator::{Emulator, Error, Fault, Outcome, Persona, Plan, ProjectSettings};
use bondify_testkit::within_a_minute;
use serde_json::{Value, json};

use crate::support::{SHOP, answer, plain, post, request, shop, start};

/// The types of a field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Type {
    Text,
    Number,
    Bool,
    Null,
    Object,
    List,
}

use Type::{Bool, List, Null, Number, Object, Text};

/// A field's name, and the type of its value.
type Fields = [(&'static str, Type)];

fn type_of(value: &Value) -> Type {
    match value {
        Value::Null => Null,
        Value::Bool(_) => Bool,
        Value::Number(_) => Number,
        Value::String(_) => Text,
        Value::Array(_) => List,
        Value::Object(_) => Object,
    }
}

/// Asserts that the object has these fields and no others.
#[track_caller]
fn assert_fields(object: &Value, expected: &Fields) {
    let fields = object.as_object().unwrap();
    let mut found: Vec<_> = fields.iter().map(|(name, it)| (&**name, type_of(it))).collect();
    let mut expected = expected.to_vec();
    found.sort_unstable_by_key(|(name, _)| *name);
    expected.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(found, expected);
}

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

const STATUS: &Fields = &[("status", Text)];

const LOGIN: &Fields = &[
    ("status", Text),
    ("telegram_id", Text),
    ("telegram_name", Text),
    ("telegram_username", Text),
    ("proof", Text),
    ("confirmed_at", Number),
];

const LOGIN_WITHOUT_USERNAME: &Fields = &[
    ("status", Text),
    ("telegram_id", Text),
    ("telegram_name", Text),
    ("telegram_username", Null),
    ("telegram_phone", Text),
    ("proof", Text),
    ("confirmed_at", Number),
];

#[tokio::test]
async fn generate_has_an_expiry_time() {
    let emulator = plain().await;
    let answer = post(&emulator, "/api/v1/generate/public", json!({"project_id": SHOP})).await;
    let fields = [("session_token", Text), ("deeplink", Text), ("expires_at", Number)];
    assert_fields(&answer.json, &fields);
}

#[tokio::test]
async fn each_status_has_its_fields() {
    let settings = ProjectSettings::new().plan(Plan::Pro).req_phone(true);
    let emulator = start(Emulator::builder(), settings).await;
    let [pending, cancelled, expired, confirmed, no_username] =
        [(); 5].map(|()| generate(&emulator));
    emulator.cancel(&cancelled).unwrap();
    emulator.expire(&expired).unwrap();
    emulator.confirm(&confirmed, Persona::new("1", "Ada").username("ada")).unwrap();
    emulator.confirm(&no_username, Persona::new("1", "Ada").phone("+44")).unwrap();
    for (token, status, fields) in [
        (&pending, "pending", STATUS),
        (&expired, "expired", STATUS),
        (&cancelled, "cancelled", &[("status", Text), ("cancelled_at", Number)][..]),
        (&confirmed, "confirmed", LOGIN),
        (&no_username, "confirmed", LOGIN_WITHOUT_USERNAME),
    ] {
        let answer = verify(&emulator, token).await;
        assert_eq!(answer["status"], status);
        assert_fields(&answer, fields);
    }
}

#[tokio::test]
async fn used_has_user_and_proof_or_neither_on_request() {
    let emulator = plain().await;
    let token = generate(&emulator);
    emulator.confirm(&token, Persona::default()).unwrap();
    emulator.use_proof(&token).unwrap();
    let used = verify(&emulator, &token).await;
    assert_eq!(used["status"], "used");
    assert_fields(&used, LOGIN);
    emulator.update_project(SHOP, ProjectSettings::new().bare_used(true)).unwrap();
    assert_eq!(verify(&emulator, &token).await, json!({"status": "used"}));
}

#[tokio::test]
async fn me_counts_users_in_numbers() {
    let emulator = plain().await;
    let me = get(&emulator, "me").await;
    let docs = [("id", Text), ("email", Text), ("created_at", Number)];
    assert_fields(&me, &[&docs[..], &[("developer", Object)]].concat());
    let fields = [("developer_id", Text), ("email", Text), ("plan", Text), ("mau", Object)];
    assert_fields(&me["developer"], &fields);
    let fields = [("current", Number), ("limit", Number), ("over", Number)];
    assert_fields(&me["developer"]["mau"], &fields);
}

/// The names of both the SDKs and the documentation.
const PROJECT: &Fields = &[
    ("project_id", Text),
    ("id", Text),
    ("is_active", Bool),
    ("secret_key", Text),
    ("name", Text),
    ("webhook_url", Null),
    ("active", Bool),
    ("public_access", Bool),
    ("req_phone", Bool),
    ("secret_preview", Text),
    ("created_at", Number),
    ("sessions_count", Number),
    ("confirmed_count", Number),
];

#[tokio::test]
async fn a_new_project_has_the_documented_defaults() {
    let emulator = Emulator::builder().start().await.unwrap();
    let created = developer(&emulator, "POST", "projects", json!({"name": "Shop"})).await;
    let sdk = [("project_id", Text), ("secret_key", Text), ("name", Text), ("active", Bool)];
    let docs = [("id", Text), ("webhook_url", Null), ("is_active", Bool), ("created_at", Number)];
    assert_fields(&created, &[sdk, docs].concat());
    let listed = get(&emulator, "projects").await;
    assert_fields(&listed, &[("projects", List)]);
    let project = &listed["projects"][0];
    assert_fields(project, PROJECT);
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
    assert_fields(&secret, &[("webhook_secret", Text)]);
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
    assert_fields(&regenerated, &[("secret_key", Text)]);
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
async fn a_session_has_null_for_what_is_not_known() {
    let emulator = plain().await;
    let pending = generate(&emulator);
    let confirmed = generate(&emulator);
    emulator.confirm(&confirmed, Persona::new("1", "Ada")).unwrap();
    let other = emulator.add_project(ProjectSettings::new().id("proj_blog")).unwrap();
    emulator.generate(&other.id).unwrap();

    let listed = get(&emulator, &format!("sessions?project_id={SHOP}")).await;
    assert_fields(&listed, &[("sessions", List)]);
    let listed = listed["sessions"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    for session in listed {
        let user = if session["session_token"] == *pending {
            [Null, Null, Null, Null]
        } else {
            [Text, Text, Null, Number]
        };
        let fields = [
            ("session_token", Text),
            ("project_id", Text),
            ("project_name", Text),
            ("status", Text),
            ("telegram_id", user[0]),
            ("telegram_name", user[1]),
            ("telegram_username", user[2]),
            ("created_at", Number),
            ("confirmed_at", user[3]),
        ];
        assert_fields(session, &fields);
    }
    let control = format!("/emulator/sessions?project_id={}", other.id);
    let listed = answer(request(&emulator, "GET", &control)).await.json;
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
    let unknown = answer(request(&emulator, "GET", "/emulator/sessions?project_id=x")).await;
    assert_eq!(unknown.error(), (404, "PROJECT_NOT_FOUND"));
}

#[tokio::test]
async fn analytics_cover_7_days_by_default() {
    let emulator = plain().await;
    let analytics = get(&emulator, "analytics").await;
    let fields = [
        ("total_sessions", Number),
        ("confirmed_sessions", Number),
        ("unique_users", Number),
        ("conversion_rate", Number),
        ("daily", List),
        ("funnel", Object),
        ("projects", List),
    ];
    assert_fields(&analytics, &fields);
    let daily = analytics["daily"].as_array().unwrap();
    assert_eq!(daily.len(), 7);
    let fields =
        [("date", Text), ("sessions", Number), ("confirmed", Number), ("unique_users", Number)];
    assert_fields(&daily[0], &fields);
    let fields =
        [("requested", Number), ("confirmed", Number), ("expired", Number), ("cancelled", Number)];
    assert_fields(&analytics["funnel"], &fields);
    assert_fields(&analytics["projects"][0], &[("id", Text), ("name", Text)]);
}

#[tokio::test]
async fn an_error_has_a_text_and_a_code() {
    let emulator = plain().await;
    let refused = post(&emulator, "/api/v1/generate/public", json!({"project_id": "x"})).await;
    assert_fields(&refused.json, &[("error", Text), ("code", Text)]);
    let project_not_found = Error::ProjectNotFound;
    assert_eq!(refused.error(), (404, project_not_found.code()));
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
        let resent = emulator.resend(emulator.deliveries()[0].id).unwrap();
        let resent = emulator.finished(resent.id).await.unwrap();
        assert!(matches!(resent.attempts[0].outcome, Outcome::Disconnected { .. }), "it was sent");
    })
    .await;
}
