//! The types of Bondify's API as the official SDKs declare them: the fields of each response, the fields
//! that may be null or absent, and the defaults.
#![allow(clippy::unwrap_used, reason = "a failure in a test is its report")]

use bondify_client::{Days, Developer, Error, ProjectSettings, SessionStatus};
use bondify_testkit::{Answer, ScriptedServer, within_a_minute};
use serde_json::{Value, json};

use crate::{PROJECT, TOKEN, client};

/// A call of the API, and its response in the form of the SDKs.
struct Row {
    call: &'static str,
    response: Value,
    /// Pointers to fields that may be null or absent.
    nullable: &'static [&'static str],
    /// Pointers to fields that are required.
    required: &'static [&'static str],
}

fn table() -> [Row; 11] {
    let millis = 1_700_000_000_000_u64;
    let confirmed = |status: &str| {
        json!({"status": status, "telegram_id": "7123456789", "telegram_name": "Ada",
            "telegram_username": "ada", "telegram_phone": "+15550001234", "proof": "a.b.c",
            "confirmed_at": millis})
    };
    [
        Row {
            call: "generate",
            response: json!({"session_token": TOKEN, "deeplink": "https://t.me/b?start=s",
                "expires_at": millis}),
            nullable: &["/expires_at"],
            required: &["/session_token", "/deeplink"],
        },
        Row {
            call: "status",
            response: json!({"status": "pending"}),
            nullable: &[],
            required: &["/status"],
        },
        Row {
            call: "status",
            response: confirmed("confirmed"),
            nullable: &["/status", "/telegram_username", "/telegram_phone", "/confirmed_at"],
            required: &["/telegram_id", "/telegram_name", "/proof"],
        },
        Row {
            call: "status",
            response: json!({"status": "cancelled", "cancelled_at": millis}),
            nullable: &["/cancelled_at"],
            required: &["/status"],
        },
        Row {
            call: "status",
            response: confirmed("used"),
            nullable: &[
                "/telegram_id",
                "/telegram_name",
                "/telegram_username",
                "/telegram_phone",
                "/proof",
                "/confirmed_at",
            ],
            required: &[],
        },
        Row {
            call: "me",
            response: json!({"developer": {"developer_id": "dev_1", "email": "a@example.com",
                "plan": "hobby", "mau": {"current": 3, "limit": 1000, "over": 0}}}),
            nullable: &[
                "/developer/email",
                "/developer/plan",
                "/developer/mau",
                "/developer/mau/current",
                "/developer/mau/limit",
                "/developer/mau/over",
            ],
            required: &["/developer/developer_id"],
        },
        Row {
            call: "projects",
            response: json!({"projects": [{"project_id": "p1", "name": "Shop",
                "webhook_url": "https://a.b/c", "active": true, "public_access": false,
                "req_phone": false, "secret_preview": "sk_live_5f2b", "created_at": millis,
                "sessions_count": 3, "confirmed_count": 2}]}),
            nullable: &[
                "/projects/0/project_id",
                "/projects/0/active",
                "/projects/0/name",
                "/projects/0/webhook_url",
                "/projects/0/public_access",
                "/projects/0/req_phone",
                "/projects/0/secret_preview",
                "/projects/0/created_at",
                "/projects/0/sessions_count",
                "/projects/0/confirmed_count",
            ],
            required: &["/projects"],
        },
        Row {
            call: "create",
            response: json!({"project_id": "p1", "secret_key": "sk_live_5f2b", "name": "Shop"}),
            nullable: &["/secret_key", "/name"],
            required: &["/project_id"],
        },
        Row {
            call: "webhook_secret",
            response: json!({"webhook_secret": "whsec_5f2b"}),
            nullable: &[],
            required: &["/webhook_secret"],
        },
        Row {
            call: "sessions",
            response: json!({"sessions": [{"session_token": TOKEN, "project_id": "p1",
                "project_name": "Shop", "status": "confirmed", "telegram_id": "7123456789",
                "telegram_name": "Ada", "telegram_username": "ada", "created_at": millis,
                "confirmed_at": millis}]}),
            nullable: &[
                "/sessions/0/session_token",
                "/sessions/0/project_id",
                "/sessions/0/status",
                "/sessions/0/created_at",
                "/sessions/0/project_name",
                "/sessions/0/telegram_id",
                "/sessions/0/telegram_name",
                "/sessions/0/telegram_username",
                "/sessions/0/confirmed_at",
            ],
            required: &["/sessions"],
        },
        Row {
            call: "analytics",
            response: json!({"total_sessions": 10, "confirmed_sessions": 6, "unique_users": 5,
                "conversion_rate": 66.7, "daily": [{"date": "2025-01-31", "sessions": 10,
                    "confirmed": 6, "unique_users": 5}],
                "funnel": {"requested": 10, "confirmed": 6, "expired": 3, "cancelled": 1},
                "projects": [{"id": "p1", "name": "Shop"}]}),
            nullable: &[
                "/unique_users",
                "/conversion_rate",
                "/daily",
                "/daily/0/date",
                "/funnel",
                "/funnel/cancelled",
                "/projects",
                "/projects/0/id",
            ],
            required: &["/total_sessions", "/confirmed_sessions"],
        },
    ]
}

async fn call(name: &str, response: &Value) -> Result<(), Error> {
    let server = ScriptedServer::start([Answer::json(200, response.clone())]).await;
    let client = client(&server);
    let (sessions, developer) = (client.sessions(PROJECT), client.developer("token").unwrap());
    match name {
        "generate" => sessions.generate().await.map(drop),
        "status" => sessions.status(TOKEN).await.map(drop),
        "me" => developer.me().await.map(drop),
        "projects" => developer.projects().await.map(drop),
        "create" => developer.create_project("Shop", ProjectSettings::new()).await.map(drop),
        "webhook_secret" => developer.webhook_secret("p1").await.map(drop),
        "sessions" => developer.sessions().await.map(drop),
        "analytics" => developer.analytics(Days::default(), None).await.map(drop),
        other => panic!("{other}"),
    }
}

/// The response without the field, and with null in the field.
fn without(response: &Value, pointer: &str) -> [Value; 2] {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let mut absent = response.clone();
    let object = absent.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    assert!(object.remove(field).is_some(), "{pointer}");
    let mut null = response.clone();
    *null.pointer_mut(pointer).unwrap() = Value::Null;
    [absent, null]
}

#[tokio::test]
async fn each_response_is_read_and_nullable_fields_may_be_null_or_absent() {
    within_a_minute(async {
        for Row { call: name, response, nullable, .. } in table() {
            call(name, &response).await.unwrap();
            for pointer in nullable {
                for lacking in without(&response, pointer) {
                    let read = call(name, &lacking).await;
                    assert!(read.is_ok(), "{name} without {pointer}: {read:?}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_required_field_that_is_null_or_absent_is_an_error() {
    within_a_minute(async {
        for Row { call: name, response, required, .. } in table() {
            for pointer in required {
                for lacking in without(&response, pointer) {
                    assert!(call(name, &lacking).await.is_err(), "{name} without {pointer}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn used_is_read_alone_with_a_user_and_with_a_proof() {
    within_a_minute(async {
        let user = json!({"status": "used", "telegram_id": "1", "telegram_name": "Ada"});
        let mut whole = user.clone();
        whole["proof"] = json!("a.b.c");
        for (response, has_login) in
            [(json!({"status": "used"}), false), (user, false), (whole, true)]
        {
            let server = ScriptedServer::start([Answer::json(200, response)]).await;
            let status = client(&server).sessions(PROJECT).status(TOKEN).await.unwrap();
            assert!(matches!(status, SessionStatus::Used(_)), "{status:?}");
            assert_eq!(status.login().is_some(), has_login);
        }
    })
    .await;
}

#[tokio::test]
async fn over_is_a_number_or_a_boolean() {
    within_a_minute(async {
        for (over, expected) in
            [(json!(0), false), (json!(7), true), (json!(false), false), (json!(true), true)]
        {
            let account = json!({"developer": {"developer_id": "d", "email": "e",
                "mau": {"current": 3, "limit": 2, "over": over}}});
            let (_server, developer) = developer(account).await;
            assert_eq!(developer.me().await.unwrap().mau.unwrap().over, expected);
        }
    })
    .await;
}

#[tokio::test]
async fn analytics_are_of_seven_days_by_default() {
    within_a_minute(async {
        let row = table().into_iter().find(|row| row.call == "analytics").unwrap();
        let (server, developer) = developer(row.response).await;
        let analytics = developer.analytics(Days::default(), None).await.unwrap();
        assert_eq!(server.requests()[0].path, "/api/v1/dev/analytics?days=7");
        assert_eq!(analytics.conversion_rate, Some(66.7));
    })
    .await;
}

async fn developer(response: Value) -> (ScriptedServer, Developer) {
    let server = ScriptedServer::start([Answer::json(200, response)]).await;
    let developer = client(&server).developer("token").unwrap();
    (server, developer)
}
