//! Each call of the developer API.

use std::time::{Duration, SystemTime};

use bondify_client::{Days, Developer, ErrorCode, ProjectSettings, SessionStatus};
use bondify_testkit::{Answer, ReceivedRequest, ScriptedServer, within_a_minute};
use serde_json::{Value, json};

use crate::client;

async fn developer(answer: Answer) -> (ScriptedServer, Developer) {
    let server = ScriptedServer::start([answer]).await;
    let developer = client(&server).developer("dev_hush").expect("a valid token");
    (server, developer)
}

/// The only request that the server received. Asserts that it has the developer token.
fn request(server: &ScriptedServer) -> (String, ReceivedRequest) {
    let [request] = &server.requests()[..] else { panic!() };
    assert_eq!(request.header("authorization"), Some("Bearer dev_hush"));
    (format!("{} {}", request.method, request.path), request.clone())
}

#[tokio::test]
async fn me() {
    within_a_minute(async {
        let (server, developer) = developer(Answer::json(
            200,
            json!({"developer": {"developer_id": "dev_1", "email": "ada@example.com",
                "plan": "pro", "mau": {"current": 7, "limit": 100, "over": false}}}),
        ))
        .await;
        let me = developer.me().await.unwrap();
        assert_eq!((&*me.developer_id, me.email.as_deref()), ("dev_1", Some("ada@example.com")));
        let mau = me.mau.unwrap();
        assert_eq!((mau.current, mau.limit, mau.over), (7, Some(100), false));
        assert_eq!(request(&server).0, "GET /api/v1/dev/me");
    })
    .await;
}

#[tokio::test]
async fn projects_in_both_forms() {
    within_a_minute(async {
        let (server, developer) = developer(Answer::json(
            200,
            json!({"projects": [
                {"project_id": "p1", "name": "Shop", "active": true, "public_access": true,
                    "webhook_url": null, "secret_preview": "whsec_…1", "req_phone": true,
                    "created_at": 1_700_000_000_000_u64, "sessions_count": 3, "confirmed_count": 2},
                {"id": "p2", "name": "Blog", "is_active": false, "webhook_url": "",
                    "secret_key": "sk_…2", "created_at": "2023-11-14T22:13:20Z"},
            ]}),
        ))
        .await;
        let projects = developer.projects().await.unwrap();
        let [shop, blog] = &projects.records[..] else { panic!("{projects:?}") };
        assert_eq!((&*shop.project_id, shop.active), ("p1", true));
        assert_eq!((shop.public_access, shop.req_phone), (Some(true), Some(true)));
        assert_eq!((shop.sessions_count, shop.confirmed_count), (Some(3), Some(2)));
        assert_eq!(shop.secret_preview.as_deref(), Some("whsec_…1"));
        assert_eq!((&*blog.project_id, &*blog.name, blog.active), ("p2", "Blog", false));
        assert_eq!(blog.secret_preview.as_deref(), Some("sk_…2"));
        let created = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for project in [shop, blog] {
            assert_eq!(project.webhook_url, None);
            assert_eq!(project.created_at, Some(created));
        }
        assert_eq!(request(&server).0, "GET /api/v1/dev/projects");
    })
    .await;
}

#[tokio::test]
async fn create_project() {
    within_a_minute(async {
        let (server, developer) = developer(Answer::json(
            201,
            json!({"project_id": "p1", "secret_key": "sk_live_hush", "name": "Shop"}),
        ))
        .await;
        let settings = ProjectSettings::new()
            .webhook_url("https://yourapp.com/webhooks/bondify")
            .unwrap()
            .bot_token("1:bot")
            .public_access(true)
            .req_phone(false);
        let new = developer.create_project("Shop", settings).await.unwrap();
        assert_eq!((&*new.project_id, &*new.name), ("p1", "Shop"));
        assert_eq!(new.secret_key.unwrap().expose(), "sk_live_hush");
        let (line, request) = request(&server);
        assert_eq!(line, "POST /api/v1/dev/projects");
        assert_eq!(
            request.body,
            json!({"name": "Shop", "webhook_url": "https://yourapp.com/webhooks/bondify",
                "bot_token": "1:bot", "public_access": true, "req_phone": false})
        );
    })
    .await;
}

#[tokio::test]
async fn update_project() {
    within_a_minute(async {
        let (server, developer) = developer(Answer::text(200, "")).await;
        let settings = ProjectSettings::new().no_webhook_url().no_bot_token().active(false);
        developer.update_project("p1", settings).await.unwrap();
        let (line, request) = request(&server);
        assert_eq!(line, "PATCH /api/v1/dev/projects/p1");
        assert_eq!(request.body, json!({"webhook_url": "", "bot_token": "", "active": false}));
    })
    .await;
}

#[tokio::test]
async fn delete_project() {
    within_a_minute(async {
        let (server, developer) = developer(Answer::json(200, json!({"ok": true}))).await;
        developer.delete_project("p1").await.unwrap();
        assert_eq!(request(&server).0, "DELETE /api/v1/dev/projects/p1");
    })
    .await;
}

#[tokio::test]
async fn regenerate() {
    within_a_minute(async {
        let (server, developer) =
            developer(Answer::json(200, json!({"secret_key": "sk_live_hush"}))).await;
        assert_eq!(developer.regenerate("p1").await.unwrap().expose(), "sk_live_hush");
        let (line, request) = request(&server);
        assert_eq!(line, "POST /api/v1/dev/projects/p1/regenerate");
        assert_eq!(request.body, json!({}));
    })
    .await;
}

#[tokio::test]
async fn webhook_secret() {
    within_a_minute(async {
        let (server, developer) =
            developer(Answer::json(200, json!({"webhook_secret": "whsec_hush"}))).await;
        assert_eq!(developer.webhook_secret("p1").await.unwrap().expose(), "whsec_hush");
        assert_eq!(request(&server).0, "GET /api/v1/dev/projects/p1/webhook-secret");
    })
    .await;
}

#[tokio::test]
async fn sessions() {
    within_a_minute(async {
        let (server, developer) = developer(Answer::json(
            200,
            json!({"sessions": [
                {"session_token": "sess_hush", "project_id": "p1", "project_name": "Shop",
                    "status": "confirmed", "telegram_id": "7123456789",
                    "telegram_name": "Ada Hush", "telegram_username": "ada",
                    "created_at": "2023-11-14T22:13:20Z", "confirmed_at": 1_700_000_001_000_u64},
                {"session_token": "s2", "project_id": "p1", "project_name": "Shop",
                    "status": "pending", "telegram_id": null, "created_at": 1_700_000_000_000_u64},
                {"session_token": "s3", "project_id": "p1", "project_name": "Shop",
                    "status": "paused", "created_at": 1_700_000_000_000_u64},
            ]}),
        ))
        .await;
        let sessions = developer.sessions().await.unwrap();
        let [confirmed, pending, unknown] = &sessions.records[..] else { panic!() };
        assert_eq!(confirmed.session_token, "sess_hush");
        assert_eq!(confirmed.project_name, "Shop");
        let SessionStatus::Confirmed(login) = &confirmed.status else { panic!("{confirmed:?}") };
        let user = confirmed.user().unwrap();
        assert_eq!(login.user(), Some(user));
        assert_eq!(user.id().to_i64(), Some(7_123_456_789));
        assert_eq!((user.name(), user.username(), user.phone()), ("Ada Hush", Some("ada"), None));
        let took = login.confirmed_at().unwrap().duration_since(confirmed.created_at.unwrap());
        assert_eq!(took.unwrap(), Duration::from_secs(1));
        assert_eq!((&pending.status, pending.status.login()), (&SessionStatus::Pending, None));
        assert_eq!(unknown.status, SessionStatus::Other("paused".into()));
        let shown = format!("{sessions:?}").to_lowercase();
        assert!(!shown.contains("hush") && !shown.contains("7123456789"), "{shown}");
        assert_eq!(request(&server).0, "GET /api/v1/dev/sessions");
    })
    .await;
}

fn analytics() -> Value {
    json!({
        "total_sessions": 10, "confirmed_sessions": 6, "unique_users": 5, "conversion_rate": 60,
        "daily": [{"date": "2025-01-31", "sessions": 10, "confirmed": 6, "unique_users": 5}],
        "funnel": {"requested": 10, "confirmed": 6, "expired": 3, "cancelled": 1},
        "projects": [{"id": "p1", "name": "Shop \u{fffd}"}],
    })
}

#[tokio::test]
async fn analytics_of_a_project_or_all() {
    within_a_minute(async {
        for (days, project, line) in [
            (Days::Seven, None, "GET /api/v1/dev/analytics?days=7"),
            (Days::Fourteen, None, "GET /api/v1/dev/analytics?days=14"),
            (Days::Thirty, Some("p1"), "GET /api/v1/dev/analytics?days=30&project_id=p1"),
            (Days::Ninety, Some("p&d=1"), "GET /api/v1/dev/analytics?days=90&project_id=p%26d%3D1"),
        ] {
            let (server, developer) = developer(Answer::json(200, analytics())).await;
            let analytics = developer.analytics(days, project).await.unwrap();
            assert_eq!((analytics.total_sessions, analytics.confirmed_sessions), (10, 6));
            assert_eq!((analytics.unique_users, analytics.conversion_rate), (Some(5), Some(60.0)));
            assert_eq!(
                (&*analytics.daily.records[0].date, analytics.daily.records[0].confirmed),
                ("2025-01-31", 6)
            );
            let funnel = analytics.funnel.unwrap();
            assert_eq!((funnel.requested, funnel.cancelled), (10, 1));
            assert_eq!(analytics.projects.records[0].id, "p1");
            assert_eq!(request(&server).0, line);
        }
    })
    .await;
}

#[tokio::test]
async fn analytics_are_read_from_strings_and_without_side_fields() {
    within_a_minute(async {
        let mut strings = analytics();
        strings["total_sessions"] = "10".into();
        strings["conversion_rate"] = "60.0".into();
        strings["funnel"]["expired"] = "3".into();
        strings["daily"][0]["confirmed"] = "6".into();
        strings["projects"][0]["id"] = 17.into();
        let (_server, developer) = developer(Answer::json(200, strings)).await;
        let read = developer.analytics(Days::Seven, None).await.unwrap();
        assert_eq!((read.total_sessions, read.conversion_rate), (10, Some(60.0)));
        assert_eq!(read.funnel.unwrap().expired, 3);
        assert_eq!(read.daily.records[0].confirmed, 6);
        assert_eq!(read.projects.records[0].id, "17");

        let mut odd = analytics();
        odd["daily"].as_array_mut().unwrap().extend([json!({"date": "2025-02-01"}), json!(7)]);
        odd["projects"] = json!([{"name": "Hush"}]);
        odd["funnel"]["cancelled"] = (-1).into();
        let (_server, developer) = self::developer(Answer::json(200, odd)).await;
        let read = developer.analytics(Days::Seven, None).await.unwrap();
        assert_eq!((read.daily.records.len(), read.daily.unreadable), (1, 2));
        assert!(read.daily.problem.unwrap().contains("`daily[1].sessions`"));
        assert_eq!((read.projects.unreadable, read.funnel), (1, None));

        for odd in [json!(null), json!(""), json!({}), json!([]), json!(-1)] {
            let mut bare = json!({"total_sessions": 10, "confirmed_sessions": 6});
            for field in ["unique_users", "conversion_rate", "daily", "funnel", "projects"] {
                bare[field] = odd.clone();
            }
            let (_server, developer) = self::developer(Answer::json(200, bare)).await;
            let read = developer.analytics(Days::Seven, None).await.unwrap();
            assert_eq!((read.total_sessions, read.unique_users), (10, None));
            assert!(read.projects.records.is_empty() && read.daily.records.is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn a_malformed_project_is_left_out_of_the_list() {
    within_a_minute(async {
        let list = json!({"projects": [
            {"project_id": "p1", "name": "Shop", "active": 1},
            {"project_id": null, "name": "Hush", "active": true},
            {"project_id": "p3", "name": "Blog", "active": null},
            {"project_id": "p4", "name": "Wiki", "is_active": "0", "created_at": ""},
        ]});
        let (_server, developer) = developer(Answer::json(200, list)).await;
        let list = developer.projects().await.unwrap();
        let read = list.records.iter().map(|project| (&*project.project_id, project.active));
        assert_eq!(read.collect::<Vec<_>>(), [("p1", true), ("p4", false)]);
        assert_eq!((list.unreadable, list.has_more), (2, false));
        let problem = list.problem.unwrap();
        assert!(problem.contains("`projects[1].project_id`"), "{problem}");
    })
    .await;
}

#[tokio::test]
async fn an_id_never_reaches_another_endpoint() {
    within_a_minute(async {
        for (id, path) in [
            ("../sessions", "..%2Fsessions"),
            ("a/b?c", "a%2Fb%3Fc"),
            ("%2e%2e", "%252e%252e"),
            ("..\t", "..%09"),
            ("a#b", "a%23b"),
            ("ü", "%C3%BC"),
        ] {
            let (server, developer) = developer(Answer::json(200, json!({"ok": true}))).await;
            developer.delete_project(id).await.unwrap();
            assert_eq!(request(&server).0, format!("DELETE /api/v1/dev/projects/{path}"));
        }
        let (server, developer) = developer(Answer::json(200, json!({}))).await;
        for id in ["", ".", ".."] {
            assert!(developer.delete_project(id).await.is_err());
            assert!(developer.update_project(id, ProjectSettings::new()).await.is_err());
            assert!(developer.regenerate(id).await.is_err());
            assert!(developer.webhook_secret(id).await.is_err());
        }
        assert_eq!(server.requests().len(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_refused_token_is_401_and_never_shown() {
    within_a_minute(async {
        let answer = Answer::json(401, json!({"error": "Invalid token dev_hush"}));
        let (_server, developer) = developer(answer).await;
        let error = developer.me().await.unwrap_err();
        assert_eq!((error.status(), error.code()), (Some(401), None));
        assert_eq!(error.message(), Some("Invalid token dev_hush"));
        let shown = format!("{error} {error:?} {developer:?}");
        assert!(!shown.contains("hush"), "{shown}");
    })
    .await;
}

#[tokio::test]
async fn a_403_of_the_developer_api_without_a_code_has_no_code() {
    within_a_minute(async {
        let (_server, developer) = developer(Answer::json(403, json!({"error": "no"}))).await;
        assert_eq!(developer.me().await.unwrap_err().code(), None);
        let (_server, developer) =
            self::developer(Answer::json(404, json!({"code": "PROJECT_NOT_FOUND"}))).await;
        let error = developer.regenerate("p1").await.unwrap_err();
        assert_eq!(error.code(), Some(&ErrorCode::ProjectNotFound));
    })
    .await;
}
