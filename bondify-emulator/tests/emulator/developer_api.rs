use std::time::Duration;

use bondify_emulator::{Emulator, Persona, Plan, ProjectSettings};
use serde_json::{Value, json};

use crate::support::{Answer, SHOP, TestClock, answer, plain, request, shop, start};

async fn call(emulator: &Emulator, method: &str, path: &str, body: Value) -> Answer {
    let request = request(emulator, method, &format!("/api/v1/dev{path}"));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    answer(request.bearer_auth(emulator.developer_token()).body(body)).await
}

async fn get(emulator: &Emulator, path: &str) -> Value {
    let answer = call(emulator, "GET", path, Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json
}

#[tokio::test]
async fn every_call_needs_the_token() {
    let emulator =
        start(Emulator::builder().developer_token("dev_me"), ProjectSettings::new()).await;
    let calls = [
        ("GET", "/me"),
        ("GET", "/projects"),
        ("POST", "/projects"),
        ("PATCH", "/projects/proj_shop"),
        ("DELETE", "/projects/proj_shop"),
        ("POST", "/projects/proj_shop/regenerate"),
        ("GET", "/projects/proj_shop/webhook-secret"),
        ("GET", "/sessions"),
        ("GET", "/analytics"),
    ];
    let secret = shop(&emulator).reveal_secret().to_owned();
    for (method, path) in calls {
        for token in ["", "Bearer", "Bearer dev_you", "Basic dev_me", "dev_me", "Bearer dev_me2"] {
            let request = request(&emulator, method, &format!("/api/v1/dev{path}"));
            let refused = answer(request.header("authorization", token)).await;
            assert_eq!(refused.error(), (401, "UNAUTHORIZED"), "{method} {path} {token}");
        }
    }
    assert_eq!(shop(&emulator).reveal_secret(), secret);
    let me = request(&emulator, "GET", "/api/v1/dev/me").header("authorization", "bearer dev_me");
    assert_eq!(answer(me).await.status, 200);
}

#[tokio::test]
async fn me_is_the_developer() {
    let emulator = start(Emulator::builder(), ProjectSettings::new().plan(Plan::Pro)).await;
    for id in ["1", "2", "2"] {
        let token = emulator.generate(SHOP).unwrap().token;
        emulator.confirm(&token, Persona::new(id, "Ada")).unwrap();
    }
    let developer = &get(&emulator, "/me").await["developer"];
    assert_eq!(developer["plan"], "pro");
    assert_eq!(developer["mau"], json!({"current": 2, "limit": 1000, "over": 0}));
    assert!(developer["developer_id"].is_string() && developer["email"].is_string());
}

#[tokio::test]
async fn a_project_is_created_changed_and_deleted() {
    let clock = TestClock::new();
    let emulator = clock.of(Emulator::builder()).start().await.unwrap();
    let settings = json!({
        "name": "Shop",
        "webhook_url": "https://shop.example/hook",
        "bot_token": "123:abc",
        "req_phone": true,
    });
    let created = call(&emulator, "POST", "/projects", settings).await;
    assert_eq!((created.status, &created.json["name"]), (200, &json!("Shop")));
    let id = created.json["project_id"].as_str().unwrap().to_owned();
    let secret = created.json["secret_key"].as_str().unwrap().to_owned();
    assert!(id.starts_with("proj_") && secret.starts_with("sk_"));

    let preview = &secret[..12];
    let shown = json!({
        "project_id": id,
        "id": id,
        "name": "Shop",
        "webhook_url": "https://shop.example/hook",
        "active": true,
        "is_active": true,
        "public_access": false,
        "req_phone": true,
        "secret_preview": preview,
        "secret_key": format!("{preview}…"),
        "created_at": 1_700_000_000_123_u64,
        "sessions_count": 0,
        "confirmed_count": 0,
    });
    assert_eq!(get(&emulator, "/projects").await, json!({"projects": [shown]}));

    let path = format!("/projects/{id}");
    let changes = json!({"name": "Store", "webhook_url": "", "active": false});
    assert_eq!(call(&emulator, "PATCH", &path, changes).await.status, 200);
    let changed = &get(&emulator, "/projects").await["projects"][0];
    assert_eq!(changed["name"], "Store");
    assert_eq!(changed["webhook_url"], Value::Null);
    assert_eq!((&changed["active"], &changed["req_phone"]), (&json!(false), &json!(true)));

    let deleted = call(&emulator, "DELETE", &path, Value::Null).await;
    assert_eq!((deleted.status, deleted.json), (200, json!({"ok": true})));
    assert_eq!(get(&emulator, "/projects").await, json!({"projects": []}));
}

#[tokio::test]
async fn invalid_settings_are_refused() {
    let emulator = plain().await;
    for settings in [
        json!({}),
        json!({"name": ""}),
        json!({"name": 7}),
        json!({"name": "Shop", "webhook_url": "http://192.0.2.1/hook"}),
        json!({"name": "Shop", "active": "yes"}),
    ] {
        let refused = call(&emulator, "POST", "/projects", settings.clone()).await;
        assert_eq!(refused.error(), (400, "BAD_REQUEST"), "{settings}");
    }
    assert_eq!(emulator.projects().len(), 1);
}

#[tokio::test]
async fn an_unknown_project_is_answered_with_404() {
    let emulator = plain().await;
    for (method, path) in [
        ("PATCH", "/projects/other"),
        ("DELETE", "/projects/other"),
        ("POST", "/projects/other/regenerate"),
        ("GET", "/projects/other/webhook-secret"),
        ("GET", "/analytics?project_id=other"),
    ] {
        let refused = call(&emulator, method, path, json!({"name": "x"})).await;
        assert_eq!(refused.error(), (404, "PROJECT_NOT_FOUND"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_regenerated_secret_replaces_the_old_one() {
    let emulator = start(Emulator::builder(), ProjectSettings::new().secret("whsec_old")).await;
    let path = format!("/projects/{SHOP}/webhook-secret");
    assert_eq!(get(&emulator, &path).await, json!({"webhook_secret": "whsec_old"}));
    let regenerate = format!("/projects/{SHOP}/regenerate");
    let answer = call(&emulator, "POST", &regenerate, Value::Null).await;
    assert_eq!(answer.json["secret_key"], shop(&emulator).reveal_secret_key());
    let secret = &get(&emulator, &path).await["webhook_secret"];
    assert!(secret.as_str().unwrap().starts_with("whsec_") && secret != "whsec_old");
    assert_eq!(shop(&emulator).reveal_secret(), secret.as_str().unwrap());
}

#[tokio::test]
async fn sessions_are_listed_with_their_logins() {
    let clock = TestClock::new();
    let emulator = start(clock.of(Emulator::builder()), ProjectSettings::new().name("Shop")).await;
    let first = emulator.generate(SHOP).unwrap().token;
    clock.advance(Duration::from_secs(1));
    let second = emulator.generate(SHOP).unwrap().token;
    emulator.confirm(&second, Persona::new("7", "Ada")).unwrap();
    let expected = json!({"sessions": [
        {
            "session_token": second,
            "project_id": SHOP,
            "project_name": "Shop",
            "status": "confirmed",
            "created_at": 1_700_000_001_123_u64,
            "telegram_id": "7",
            "telegram_name": "Ada",
            "telegram_username": null,
            "confirmed_at": 1_700_000_001_123_u64,
        },
        {
            "session_token": first,
            "project_id": SHOP,
            "project_name": "Shop",
            "status": "pending",
            "created_at": 1_700_000_000_123_u64,
            "telegram_id": null,
            "telegram_name": null,
            "telegram_username": null,
            "confirmed_at": null,
        },
    ]});
    assert_eq!(get(&emulator, "/sessions").await, expected);
}

#[tokio::test]
async fn analytics_count_sessions() {
    let clock = TestClock::new();
    let emulator = start(clock.of(Emulator::builder()), ProjectSettings::new().name("Shop")).await;
    emulator.add_project(ProjectSettings::new().id("blog")).unwrap();
    for (project, id) in [(SHOP, "1"), (SHOP, "1"), (SHOP, "2"), ("blog", "3")] {
        let token = emulator.generate(project).unwrap().token;
        emulator.confirm(&token, Persona::new(id, "Ada")).unwrap();
    }
    let used = emulator.sessions().pop().unwrap().token;
    emulator.use_proof(&used).unwrap();
    emulator.cancel(&emulator.generate(SHOP).unwrap().token).unwrap();
    emulator.generate(SHOP).unwrap();
    clock.advance(Duration::from_secs(24 * 60 * 60));

    let of_shop = get(&emulator, &format!("/analytics?days=7&project_id={SHOP}")).await;
    assert_eq!((&of_shop["total_sessions"], &of_shop["unique_users"]), (&json!(5), &json!(2)));
    assert_eq!(of_shop["conversion_rate"], 60.0);
    let funnel = json!({"requested": 5, "confirmed": 3, "expired": 1, "cancelled": 1});
    assert_eq!(of_shop["funnel"], funnel);
    let daily = of_shop["daily"].as_array().unwrap();
    assert_eq!(daily.len(), 7);
    let yesterday = json!({"date": "2023-11-14", "sessions": 5, "confirmed": 3, "unique_users": 2});
    assert_eq!(daily[5], yesterday);
    let projects = json!([{"id": SHOP, "name": "Shop"}, {"id": "blog", "name": "blog"}]);
    assert_eq!(of_shop["projects"], projects);

    let of_all = get(&emulator, "/analytics").await;
    assert_eq!(of_all["daily"].as_array().unwrap().len(), 7);
    assert_eq!(of_all["confirmed_sessions"], 4);
    assert_eq!(get(&emulator, "/analytics?days=90").await["total_sessions"], 6);
}

#[tokio::test]
async fn analytics_cover_the_requested_days() {
    let emulator = plain().await;
    for days in [7, 14, 30, 90] {
        let analytics = get(&emulator, &format!("/analytics?days={days}")).await;
        assert_eq!(analytics["daily"].as_array().unwrap().len(), days);
    }
    for days in ["0", "8", "-7", "many", "", "7.0"] {
        let refused = call(&emulator, "GET", &format!("/analytics?days={days}"), Value::Null).await;
        assert_eq!(refused.error(), (400, "BAD_REQUEST"), "{days:?}");
    }
}

#[tokio::test]
async fn a_login_returns_the_developer_token() {
    let emulator = plain().await;
    let body = json!({"email": "ada@example.com", "password": "hush"});
    let request = request(&emulator, "POST", "/api/v1/dev/login").body(body.to_string());
    let answer = answer(request).await;
    assert_eq!((answer.status, answer.json), (200, json!({"token": emulator.developer_token()})));
}
