use std::env;

use axum::{
    Json, Router,
    routing::{get, post},
};
use bondify_emulator::{Emulator, ProjectSettings};
use bondify_testkit::within_a_minute;
use serde_json::json;
use snapbox::{IntoData, assert_data_eq, str};

use crate::support::{self, Finished, bondify, serve};

const TOKEN: &str = "dev_hush";

async fn emulator() -> Emulator {
    let shop = ProjectSettings::new().id("proj_shop").name("Shop");
    let shop = shop.webhook_url("https://shop.example/webhooks/bondify");
    let blog = ProjectSettings::new().id("proj_blog").name("Blog\u{1b}[2J").active(false);
    let emulator = support::emulator().developer_token(TOKEN).project(shop).project(blog);
    emulator.start().await.unwrap()
}

async fn projects(emulator: &Emulator, args: &[&str]) -> Finished {
    let mut command = bondify(&[&["projects"], args].concat());
    command.env("BONDIFY_API_URL", emulator.url()).env("BONDIFY_DEVELOPER_TOKEN", TOKEN);
    let finished = Finished::of(command).await;
    assert!(!finished.to_string().contains(TOKEN), "{finished}");
    finished
}

#[tokio::test]
async fn projects_are_listed() {
    within_a_minute(async {
        let emulator = emulator().await;
        assert_data_eq!(
            projects(&emulator, &["list"]).await.to_string(),
            str![[r#"
proj_shop  Shop  https://shop.example/webhooks/bondify
proj_blog  Blog\u{1b}[2J  no webhook URL  inactive
exit code: 0

"#]]
            .raw()
        );
        let [shop, blog] = &projects(&emulator, &["list", "--json"]).await.json()[..] else {
            panic!("two projects")
        };
        assert_eq!((&shop["project_id"], &shop["active"]), (&json!("proj_shop"), &json!(true)));
        assert_eq!((&blog["webhook_url"], &blog["active"]), (&json!(null), &json!(false)));
    })
    .await;
}

#[tokio::test]
async fn a_project_is_created_with_its_secrets() {
    within_a_minute(async {
        let emulator = emulator().await;
        let url = "http://127.0.0.1:3000/webhooks/bondify";
        let args = ["create", "Forum", "--webhook-url", url, "--json"];
        let created = projects(&emulator, &args).await;
        assert_eq!(created.code, Some(0), "{created}");
        let created = created.json().remove(0);
        let project = emulator.project(created["project_id"].as_str().unwrap()).unwrap();
        assert_eq!(created["webhook_secret"], project.reveal_secret());
        // By the documentation, creating a project does not return its key.
        let has_key =
            !env::var("BONDIFY_TEST_READING").is_ok_and(|reading| reading == "docs-names");
        let key = has_key.then(|| project.reveal_secret_key());
        assert_eq!(created["secret_key"].as_str(), key);
        let secret = projects(&emulator, &["webhook-secret", &project.id]).await;
        let shown = format!("{}\nwebhook secret: {}\n", project.id, project.reveal_secret());
        assert_eq!(secret.stdout, shown);
        assert_eq!(project.name, "Forum");
        assert_eq!(project.webhook_url.as_ref().unwrap().as_str(), url);

        let created = projects(&emulator, &["create", "Wiki"]).await;
        let key = if has_key { "\nsecret key: sk_[..]" } else { "" };
        let shown = format!("proj_[..]{key}\nwebhook secret: whsec_[..]\nexit code: 0\n");
        assert_data_eq!(created.to_string(), shown);
    })
    .await;
}

#[tokio::test]
async fn settings_are_changed_and_the_others_are_kept() {
    within_a_minute(async {
        let emulator = emulator().await;
        let created = projects(&emulator, &["create", "Forum", "--public-access", "--json"]).await;
        let id = created.json()[0]["project_id"].as_str().unwrap().to_owned();
        let project = || emulator.project(&id).unwrap();
        assert!(project().public_access);
        let update = ["update", &id, "--name", "Store", "--active", "false"];
        let updated = projects(&emulator, &update).await;
        assert_eq!((updated.code, updated.stdout), (Some(0), format!("{id} updated\n")));
        assert_eq!((&*project().name, project().active), ("Store", false));
        assert!(project().public_access && !project().req_phone);
        let url = "https://new.example/";
        let update =
            ["update", &id, "--public-access=false", "--req-phone=true", "--webhook-url", url];
        assert_eq!(projects(&emulator, &update).await.code, Some(0));
        assert!(!project().public_access && project().req_phone && !project().active);
        assert_eq!(project().webhook_url.as_ref().unwrap().as_str(), url);
        let nothing = projects(&emulator, &["update", &id]).await;
        assert_eq!(nothing.code, Some(2));
    })
    .await;
}

#[tokio::test]
async fn a_malformed_project_fails_the_command_and_the_others_are_listed() {
    within_a_minute(async {
        let list = Json(json!({"projects": [{"id": "p1", "is_active": 1}, {"id": null}]}));
        let api = Router::new().route("/api/v1/dev/projects", get(async || list));
        let url = serve(api).await;
        let mut command = bondify(&["projects", "list"]);
        command.env("BONDIFY_API_URL", url.trim_end_matches("/webhooks/bondify"));
        command.env("BONDIFY_DEVELOPER_TOKEN", TOKEN);
        let finished = Finished::of(command).await;
        assert_eq!((finished.code, finished.stdout.lines().count()), (Some(1), 1), "{finished}");
        assert!(finished.stderr.contains("`projects[1].project_id`"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_webhook_url_is_set_and_removed() {
    within_a_minute(async {
        let emulator = emulator().await;
        let webhook_url = || emulator.project("proj_shop").unwrap().webhook_url.clone();
        let url = "https://new.example/";
        let set = projects(&emulator, &["set-webhook", "proj_shop", url]).await;
        assert_eq!((set.code, &*set.stdout), (Some(0), "proj_shop webhook set\n"));
        assert_eq!(webhook_url().unwrap().as_str(), url);
        assert_eq!(projects(&emulator, &["set-webhook", "proj_shop", ""]).await.code, Some(0));
        assert_eq!(webhook_url(), None);
        let insecure = ["set-webhook", "proj_shop", "http://shop.example/"];
        assert_eq!(projects(&emulator, &insecure).await.code, Some(2));
    })
    .await;
}

#[tokio::test]
async fn a_secret_is_replaced() {
    within_a_minute(async {
        let emulator = emulator().await;
        let secret = || emulator.project("proj_shop").unwrap().reveal_secret().to_owned();
        let old = secret();
        let rotated = projects(&emulator, &["rotate", "proj_shop", "--json"]).await;
        assert_ne!(secret(), old);
        let expected = json!({
            "project_id": "proj_shop",
            "secret_key": emulator.project("proj_shop").unwrap().reveal_secret_key(),
            "webhook_secret": secret(),
        });
        assert_eq!((rotated.code, rotated.json()), (Some(0), vec![expected]));
    })
    .await;
}

#[tokio::test]
async fn a_secret_key_is_shown_even_if_the_webhook_secret_cannot_be_read() {
    within_a_minute(async {
        let key = Json(json!({ "secret_key": "sk_new" }));
        let api =
            Router::new().route("/api/v1/dev/projects/proj_shop/regenerate", post(async || key));
        let url = serve(api).await;
        let mut command = bondify(&["projects", "rotate", "proj_shop"]);
        command.env("BONDIFY_API_URL", url.trim_end_matches("/webhooks/bondify"));
        command.env("BONDIFY_DEVELOPER_TOKEN", TOKEN);
        let finished = Finished::of(command).await;
        assert_eq!(
            (finished.code, &*finished.stdout),
            (Some(2), "proj_shop\nsecret key: sk_new\n")
        );
        assert!(finished.stderr.contains("bondify projects webhook-secret"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_project_is_deleted() {
    within_a_minute(async {
        let emulator = emulator().await;
        let deleted = projects(&emulator, &["delete", "proj_blog"]).await;
        assert_eq!((deleted.code, &*deleted.stdout), (Some(0), "proj_blog deleted\n"));
        assert_eq!(emulator.projects().len(), 1);
        let again = projects(&emulator, &["delete", "proj_blog"]).await;
        assert_eq!((again.code, &*again.stdout), (Some(2), ""));
        assert!(again.stderr.contains("PROJECT_NOT_FOUND"), "{again}");
    })
    .await;
}

#[tokio::test]
async fn a_developer_token_is_required() {
    within_a_minute(async {
        let emulator = emulator().await;
        let refused = projects(&emulator, &["list", "--token", "dev_wrong"]).await;
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains("401") && !refused.stderr.contains("dev_"), "{refused}");

        let mut command = bondify(&["projects", "list"]);
        command.env("BONDIFY_API_URL", emulator.url());
        assert_data_eq!(
            Finished::of(command).await.to_string(),
            str![[r#"
stderr: error: no developer token: set BONDIFY_DEVELOPER_TOKEN, or use --token-file or --token
exit code: 2

"#]]
        );
    })
    .await;
}
