use std::time::{Duration, SystemTime};

use axum::{Router, http::header::DATE, response::IntoResponse};
use bondify_emulator::{Builder, Emulator, Persona, ProjectSettings, Reading};
use bondify_testkit::within_a_minute;
use serde_json::json;
use tokio::net::TcpListener;

use super::assert_findings;
use crate::support::{Finished, SECRET, bondify};

fn project() -> ProjectSettings {
    let project = ProjectSettings::new().id("proj_shop").secret(SECRET).public_access(true);
    project.webhook_url("http://127.0.0.1:9/")
}

async fn start(builder: Builder, project: ProjectSettings) -> Emulator {
    let emulator = builder.developer_token("dev_hush").project(project).start().await.unwrap();
    if let Ok(session) = emulator.generate("proj_shop") {
        emulator.confirm(&session.token, Persona::new("7123456789", "Ada Lovelace")).unwrap();
    }
    emulator
}

async fn doctor(url: &str, args: &[&str]) -> Finished {
    let args = [&["doctor", "--json", "--timeout=5s", "--project=proj_shop"], args].concat();
    let mut command = bondify(&args);
    command.env("BONDIFY_API_URL", url).env("BONDIFY_DEVELOPER_TOKEN", "dev_hush");
    let finished = Finished::of(command).await;
    for private in ["dev_hush", SECRET, "whsec_other", "sess_", "7123456789", "Lovelace"] {
        assert!(!finished.to_string().contains(private), "{private}: {finished}");
    }
    finished
}

/// The text of a check.
fn text(finished: &Finished, check: &str) -> String {
    let findings = finished.json();
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("no {check}: {finished}"))["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_sound_project_has_no_findings() {
    within_a_minute(async {
        let emulator = start(Emulator::builder(), project()).await;
        let finished = doctor(emulator.url(), &[]).await;
        assert_findings(&finished, &[]);
        let shape = text(&finished, "sessions");
        assert!(shape.contains("sessions[].telegram_id: digits"), "{shape}");
        assert!(text(&finished, "secret").contains("begins with whsec_"), "{finished}");
        assert_eq!(text(&finished, "reading"), "the API answers like `bondify emulate`");
        assert!(text(&finished, "webhook-url").ends_with("http://127.0.0.1:9/"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn the_reading_of_the_api_is_named() {
    within_a_minute(async {
        let visible = [
            Reading::NoExpiry,
            Reading::TextTimes,
            Reading::IsoTimes,
            Reading::SqlValues,
            Reading::DocsNames,
            Reading::SdkNames,
            Reading::Pages,
        ];
        for reading in visible {
            let emulator = start(Emulator::builder().reading(reading), project()).await;
            let finished = doctor(emulator.url(), &[]).await;
            assert_findings(&finished, &[]);
            let expected = format!("the API answers like `bondify emulate --reading {reading}`");
            assert_eq!(text(&finished, "reading"), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn another_secret_is_named_with_its_kind() {
    within_a_minute(async {
        let emulator = start(Emulator::builder(), project()).await;
        let finished = doctor(emulator.url(), &["--secret=sk_12345"]).await;
        assert_findings(&finished, &[("secret", "problem")]);
        assert!(text(&finished, "secret").contains("it begins with sk_, the"), "{finished}");
        let finished = doctor(emulator.url(), &["--secret=whsec_other"]).await;
        assert_findings(&finished, &[("secret", "problem")]);
    })
    .await;
}

#[tokio::test]
async fn a_project_that_is_not_served_is_named() {
    within_a_minute(async {
        let emulator = start(Emulator::builder(), project().public_access(false)).await;
        let finished = doctor(emulator.url(), &[]).await;
        assert_findings(&finished, &[("public-access", "problem")]);
        assert!(finished.stdout.contains("--public-access true"), "{finished}");
        let emulator = start(Emulator::builder(), project().active(false)).await;
        let finished = doctor(emulator.url(), &[]).await;
        assert_findings(&finished, &[("active", "problem")]);
        let without_url = ProjectSettings::new().id("proj_shop").secret(SECRET).public_access(true);
        let emulator = start(Emulator::builder(), without_url).await;
        assert_findings(&doctor(emulator.url(), &[]).await, &[("webhook-url", "warning")]);
    })
    .await;
}

#[tokio::test]
async fn a_project_that_does_not_exist_is_named() {
    within_a_minute(async {
        let emulator = start(Emulator::builder(), project().id("proj_other")).await;
        let finished = doctor(emulator.url(), &[]).await;
        let named = finished
            .json()
            .into_iter()
            .any(|finding| finding["check"] == "webhook-url" && finding["result"] == "problem");
        assert!(named, "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_developer_token_that_is_refused_is_named() {
    within_a_minute(async {
        let emulator = start(Emulator::builder(), project()).await;
        let finished = doctor(emulator.url(), &["--token=dev_old"]).await;
        assert_findings(&finished, &[("me", "problem")]);
        assert!(finished.stdout.contains("BONDIFY_DEVELOPER_TOKEN"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn an_api_that_cannot_be_read_is_named() {
    within_a_minute(async {
        let nobody = doctor("http://127.0.0.1:9", &["--token=dev_old"]).await;
        assert_findings(&nobody, &[("generate", "problem"), ("me", "problem")]);
        // An API with other names, 30 s ahead.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let odd = async || {
            let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(30));
            ([(DATE, date)], json!({"result": {"key": "value"}}).to_string()).into_response()
        };
        let app = Router::new().fallback(odd);
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        let finished = doctor(&url, &[]).await;
        let expected = [("clock", "warning"), ("generate", "problem"), ("me", "problem")];
        assert_findings(&finished, &expected);
        assert!(text(&finished, "me").ends_with("but result.key: text"), "{finished}");
    })
    .await;
}
