//! `bondify me`, `bondify sessions` and `bondify analytics`.

use bondify_emulator::{Emulator, Persona, ProjectSettings};
use bondify_testkit::{Answer, ScriptedServer, within_a_minute};
use serde_json::json;
use snapbox::{assert_data_eq, str};

use crate::support::{self, Finished, bondify};

async fn emulator() -> Emulator {
    let [shop, blog] = ["proj_shop", "proj_blog"].map(|id| ProjectSettings::new().id(id));
    let emulator = support::emulator().developer_token("dev_hush").project(shop).project(blog);
    let emulator = emulator.start().await.unwrap();
    let [of_blog, of_shop] =
        ["proj_blog", "proj_shop"].map(|id| emulator.generate(id).unwrap().token);
    emulator.confirm(&of_shop, Persona::new("7", "Ada\u{1b}[2J")).unwrap();
    emulator.cancel(&of_blog).unwrap();
    emulator
}

async fn run(url: &str, args: &[&str]) -> Finished {
    let mut command = bondify(args);
    command.env("BONDIFY_API_URL", url).env("BONDIFY_DEVELOPER_TOKEN", "dev_hush");
    let finished = Finished::of(command).await;
    assert!(!finished.to_string().contains("dev_hush"), "{finished}");
    finished
}

#[tokio::test]
async fn the_account_is_shown() {
    within_a_minute(async {
        let me = json!({"developer": {"developer_id": "dev_1", "email": "ada@example.com",
            "plan": "pro", "mau": {"current": 7, "limit": 5, "over": 2}}});
        let me = Answer::json(200, me);
        let server = ScriptedServer::start([me.clone(), me]).await;
        assert_data_eq!(
            run(&server.url(), &["me"]).await.to_string(),
            str![[r#"
dev_1  ada@example.com
plan: pro
users this month: 7 of 5, over the limit
exit code: 0

"#]]
        );
        let json = run(&server.url(), &["me", "--json"]).await.json().remove(0);
        assert_eq!(json["mau"], json!({"current": 7, "limit": 5, "over": true}));
        let emulator = emulator().await;
        assert_eq!(run(emulator.url(), &["me"]).await.code, Some(0));
    })
    .await;
}

#[tokio::test]
async fn sessions_are_listed() {
    within_a_minute(async {
        let emulator = emulator().await;
        let listed = run(emulator.url(), &["sessions"]).await;
        let lines = listed.stdout.lines().map(|line| line.split_once(' ').unwrap().1);
        let mut lines: Vec<_> = lines.collect();
        lines.sort_unstable();
        let [cancelled, confirmed] = lines[..] else { panic!("{listed}") };
        assert!(cancelled.starts_with("cancelled proj_blog sess_"), "{listed}");
        assert!(confirmed.starts_with("confirmed proj_shop sess_"), "{listed}");
        assert!(confirmed.ends_with(r" 7 Ada\u{1b}[2J"), "{listed}");
        assert_eq!(listed.code, Some(0));
        let args = ["sessions", "--project", "proj_shop", "--json"];
        let [session] = &run(emulator.url(), &args).await.json()[..] else { panic!("one") };
        assert_eq!(
            (&session["status"], &session["telegram_id"]),
            (&json!("confirmed"), &json!("7"))
        );
        let list = json!({"sessions": [{"session_token": "s"}]});
        let server = ScriptedServer::start([Answer::json(200, list)]).await;
        let odd = run(&server.url(), &["sessions"]).await;
        assert_eq!(odd.code, Some(1));
        assert!(odd.stderr.contains("`sessions[0]."), "{odd}");
    })
    .await;
}

#[tokio::test]
async fn logins_are_counted() {
    within_a_minute(async {
        let emulator = emulator().await;
        let text = run(emulator.url(), &["analytics", "--days", "14"]).await;
        assert_eq!((text.code, text.stdout.lines().count()), (Some(0), 15), "{text}");
        let total = "1 of 2 sessions confirmed (50 %), by 1 users\n";
        assert!(text.stdout.ends_with(total), "{text}");
        let args = ["analytics", "--project", "proj_blog", "--json"];
        let json = run(emulator.url(), &args).await.json().remove(0);
        assert_eq!((&json["total_sessions"], &json["confirmed_sessions"]), (&json!(1), &json!(0)));
        assert_eq!(json["daily"].as_array().unwrap().len(), 7);
        assert_eq!(run(emulator.url(), &["analytics", "--days", "8"]).await.code, Some(2));
    })
    .await;
}
