use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use bondify_axum::Event;
use bondify_emulator::{Emulator, Fault, Persona, ProjectSettings};
use bondify_testkit::{Answer, ScriptedServer, within_a_minute};
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};

use crate::support::{self, Finished, Receiver, SECRET, bondify};

const SHOP: &str = "proj_shop";

/// An emulator whose deliveries all fail for good at once.
async fn unreachable() -> Emulator {
    let shop = ProjectSettings::new().id(SHOP).secret(SECRET).webhook_url("http://127.0.0.1:9/");
    let blog = ProjectSettings::new().id("proj_blog").secret("whsec_blog");
    let emulator = support::emulator().developer_token("dev_hush").retries(0);
    let emulator = emulator.project(shop.faults([Fault::Unreachable])).project(blog);
    emulator.start().await.unwrap()
}

/// A login, a cancellation, and a login whose proof was used; and three sessions that `catch-up` does
/// not deliver.
async fn missed(emulator: &Emulator) -> [String; 3] {
    let [login, cancelled, used, expired, _pending] =
        [(); 5].map(|()| emulator.generate(SHOP).unwrap().token);
    let of_blog = emulator.generate("proj_blog").unwrap().token;
    emulator.confirm(&of_blog, Persona::default()).unwrap();
    emulator.confirm(&login, Persona::default()).unwrap();
    emulator.cancel(&cancelled).unwrap();
    emulator.confirm(&used, Persona::new("2", "Grace")).unwrap();
    emulator.use_proof(&used).unwrap();
    emulator.expire(&expired).unwrap();
    for token in [&login, &cancelled, &used] {
        let delivery = emulator.delivery_of(token).await.unwrap();
        assert!(!delivery.attempts[0].outcome.is_success());
    }
    [login, cancelled, used]
}

/// Catches up with events of any age.
async fn catch_up(emulator: &Emulator, args: &[&str]) -> Finished {
    let fixed = ["catch-up", "--project", SHOP, "--min-age=0s"];
    let mut command = bondify(&[&fixed, args].concat());
    command.env("BONDIFY_API_URL", emulator.url()).env("BONDIFY_DEVELOPER_TOKEN", "dev_hush");
    Finished::of(command).await
}

fn tokens(events: &[Event]) -> Vec<&str> {
    let mut tokens: Vec<_> = events.iter().filter_map(Event::session_token).collect();
    tokens.sort_unstable();
    tokens
}

#[tokio::test]
async fn everything_that_was_missed_is_delivered_once() {
    within_a_minute(async {
        let emulator = unreachable().await;
        let mut missed = missed(&emulator).await;
        missed.sort_unstable();
        let receiver = Receiver::start().await;
        let args = ["--since", "2h", "--url", &receiver.url];
        assert_data_eq!(
            catch_up(&emulator, &args).await.to_string(),
            str![[r#"
3 of 3 accepted, 0 of them known before
exit code: 0

"#]]
        );
        assert_eq!(tokens(&receiver.handled()), missed);
        assert_data_eq!(
            catch_up(&emulator, &args).await.to_string(),
            str![[r#"
3 of 3 accepted, 3 of them known before
exit code: 0

"#]]
        );
        assert_eq!(receiver.handled().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn the_oldest_event_of_the_window_is_sent_first() {
    within_a_minute(async {
        let now = SystemTime::now();
        let offset = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let at = std::sync::Arc::clone(&offset);
        let clock = move || {
            let seconds = at.load(std::sync::atomic::Ordering::Relaxed);
            now - Duration::from_secs(3 * 3600) + Duration::from_secs(seconds)
        };
        let shop = ProjectSettings::new().id(SHOP).secret(SECRET);
        let emulator = support::emulator().developer_token("dev_hush").clock(clock).project(shop);
        let emulator = emulator.start().await.unwrap();
        let mut expected = Vec::new();
        for hour in 0..3 {
            offset.store(hour * 3600 + 60, std::sync::atomic::Ordering::Relaxed);
            let token = emulator.generate(SHOP).unwrap().token;
            emulator.confirm(&token, Persona::default()).unwrap();
            expected.push(token);
        }
        let listed = catch_up(&emulator, &["--since", "2h", "--dry-run", "--json"]).await;
        assert_eq!(listed.code, Some(0), "{listed}");
        let listed = listed.json();
        let tokens: Vec<_> =
            listed.iter().map(|event| event["session_token"].as_str().unwrap()).collect();
        assert_eq!(tokens, expected[1..], "the oldest is older than two hours");
        let text = catch_up(&emulator, &["--since", "4h", "--dry-run"]).await.stdout;
        assert_eq!(text.lines().count(), 3);
        assert!(!text.contains("Ada"), "{text}");

        let receiver = Receiver::start().await;
        catch_up(&emulator, &["--since", "4h", "--url", &receiver.url]).await;
        let handled = receiver.handled();
        let order: Vec<_> = handled.iter().filter_map(Event::session_token).collect();
        assert_eq!(order, expected);
    })
    .await;
}

/// The developer API of a project, with these answers to the list of sessions, one after the other.
async fn api(answers: impl IntoIterator<Item = Answer>) -> ScriptedServer {
    let secret = Answer::json(200, json!({"webhook_secret": SECRET}));
    ScriptedServer::start(answers.into_iter().chain([secret])).await
}

async fn catch_up_from(api: &ScriptedServer, args: &[&str]) -> Finished {
    let fixed = ["catch-up", "--project", SHOP, "--since=2h"];
    let mut command = bondify(&[&fixed, args].concat());
    command.env("BONDIFY_API_URL", api.url()).env("BONDIFY_DEVELOPER_TOKEN", "dev_hush");
    Finished::of(command).await
}

fn hour_ago() -> u64 {
    let ago = SystemTime::now() - Duration::from_secs(3600);
    ago.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64
}

fn login(token: Option<&str>, at: u64) -> Value {
    json!({"session_token": token, "project_id": SHOP, "status": "confirmed", "telegram_id": "1",
        "telegram_name": "Hush", "created_at": at, "confirmed_at": at})
}

#[tokio::test]
async fn a_session_that_cannot_be_read_fails_the_command_and_the_others_are_sent() {
    within_a_minute(async {
        let sessions = [login(Some("sess_1"), hour_ago()), login(None, hour_ago())];
        let list = Answer::json(200, json!({ "sessions": sessions }));
        let receiver = Receiver::start().await;
        let args = ["--url", &receiver.url];
        let finished = catch_up_from(&api([list.clone()]).await, &args).await;
        assert_data_eq!(
            finished.to_string(),
            str![[r#"
1 of 1 accepted, 0 of them known before, 1 unreadable
stderr: warning: sessions that could not be read: 1; the first: the API's answer has no valid `sessions[1].session_token`
exit code: 1

"#]]
        );
        assert_eq!(tokens(&receiver.handled()), ["sess_1"]);
        let dry = catch_up_from(&api([list.clone()]).await, &["--dry-run"]).await;
        assert_eq!((dry.code, dry.stdout.lines().count()), (Some(1), 1), "{dry}");
        let json = catch_up_from(&api([list]).await, &["--json", "--url", &receiver.url]).await;
        assert_eq!(json.json().last().unwrap()["summary"]["unreadable"], 1);
    })
    .await;
}

#[tokio::test]
async fn times_in_seconds_are_an_error_that_names_the_unit() {
    within_a_minute(async {
        let list = json!({"sessions": [login(Some("sess_1"), hour_ago() / 1000)]});
        let receiver = Receiver::start().await;
        let api = api([Answer::json(200, list)]).await;
        let finished = catch_up_from(&api, &["--url", &receiver.url]).await;
        assert_eq!(finished.code, Some(1), "{finished}");
        assert!(finished.stderr.contains("a time in seconds, not in milliseconds"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_list_that_is_not_complete_fails_the_command() {
    within_a_minute(async {
        let list = json!({"sessions": [], "has_more": true});
        let finished = catch_up_from(&api([Answer::json(200, list)]).await, &["--dry-run"]).await;
        assert_eq!(finished.code, Some(1), "{finished}");
        assert!(finished.stderr.contains("more sessions than it listed"), "{finished}");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_for_now_is_repeated_after_the_pause_that_the_api_asks_for() {
    within_a_minute(async {
        let list = Answer::json(200, json!({"sessions": [login(Some("sess_1"), hour_ago())]}));
        let busy = Answer::json(429, json!({"error": "slow down", "code": "RATE_LIMITED"}));
        let answers = [busy.header("Retry-After", "2"), Answer::json(503, json!({})), list];
        let (api, receiver) = (api(answers).await, Receiver::start().await);
        let finished = catch_up_from(&api, &["--url", &receiver.url]).await;
        assert_data_eq!(
            finished.to_string(),
            str![[r#"
1 of 1 accepted, 0 of them known before
stderr: warning: the API refused: 429 Too Many Requests (RATE_LIMITED), retry after 2 s: slow down; retry 1 of 5 in 2 s
stderr: warning: the API refused: 503 Service Unavailable; retry 2 of 5 in 2 s
exit code: 0

"#]]
        );
        let requests = api.requests();
        assert!(requests[1].at - requests[0].at >= Duration::from_secs(2));
    })
    .await;
}

#[tokio::test]
async fn a_refusal_for_long_or_for_good_is_an_error_that_shows_the_pause() {
    within_a_minute(async {
        let busy = Answer::json(429, json!({})).header("Retry-After", "86400");
        let api = api([busy]).await;
        let finished = catch_up_from(&api, &["--dry-run"]).await;
        assert_eq!((finished.code, api.requests().len()), (Some(2), 1), "{finished}");
        assert!(finished.stderr.contains("retry after 86400 s"), "{finished}");
        let api = self::api([Answer::json(401, json!({}))]).await;
        assert_eq!(catch_up_from(&api, &["--dry-run"]).await.code, Some(2));
        assert_eq!(api.requests().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn events_that_bondify_may_still_deliver_are_not_sent() {
    within_a_minute(async {
        let emulator = unreachable().await;
        missed(&emulator).await;
        let receiver = Receiver::start().await;
        let fixed = ["catch-up", "--project", SHOP, "--since=2h", "--url", &receiver.url];
        let mut command = bondify(&fixed);
        command.env("BONDIFY_API_URL", emulator.url()).env("BONDIFY_DEVELOPER_TOKEN", "dev_hush");
        assert_data_eq!(
            Finished::of(command).await.to_string(),
            str![[r#"
0 of 0 accepted, 0 of them known before, 3 more not sent: younger than --min-age
exit code: 0

"#]]
        );
        assert_eq!(receiver.handled().len(), 0);
        let mut command = bondify(&["catch-up", "--since=10m", "--dry-run"]);
        command.env("BONDIFY_API_URL", emulator.url()).env("BONDIFY_DEVELOPER_TOKEN", "dev_hush");
        let nothing = Finished::of(command).await;
        assert_eq!(nothing.code, Some(2));
        assert!(nothing.stderr.contains("--min-age 15m"), "{nothing}");
    })
    .await;
}

#[tokio::test]
async fn a_refused_event_fails_the_command_and_the_others_are_sent() {
    within_a_minute(async {
        let emulator = unreachable().await;
        missed(&emulator).await;
        let receiver = Receiver::answering(StatusCode::SERVICE_UNAVAILABLE).await;
        let args = ["--since", "2h", "--json", "--url", &receiver.url];
        let finished = catch_up(&emulator, &args).await;
        assert_eq!(finished.code, Some(1));
        let json = finished.json();
        let [events @ .., summary] = &json[..] else { panic!("{finished}") };
        assert_eq!(events.len(), 3);
        assert!(events.iter().all(|event| event["status"] == 503));
        let expected = json!({"summary": {"events": 3, "accepted": 0, "known": 0, "failed": 3,
            "too_young": 0, "unreadable": 0}});
        assert_eq!(summary, &expected);
        assert_eq!(receiver.handled().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn the_secret_is_read_from_the_api_unless_it_is_given() {
    within_a_minute(async {
        let emulator = unreachable().await;
        missed(&emulator).await;
        let receiver = Receiver::start().await;
        let args =
            ["catch-up", "--project", SHOP, "--min-age=0", "--since=1h", "--url", &receiver.url];
        let mut command = bondify(&args);
        command.env("BONDIFY_API_URL", emulator.url()).env("BONDIFY_DEVELOPER_TOKEN", "dev_hush");
        command.env_remove("BONDIFY_WEBHOOK_SECRET");
        assert_eq!(Finished::of(command).await.code, Some(0));
        let wrong = ["--since=1h", "--url", &receiver.url, "--secret=whsec_other"];
        assert_eq!(catch_up(&emulator, &wrong).await.code, Some(1));
        let args = ["catch-up", "--min-age=0s", "--since=1h", "--dry-run"];
        let mut command = bondify(&args);
        command.env("BONDIFY_API_URL", emulator.url()).env("BONDIFY_DEVELOPER_TOKEN", "dev_hush");
        let several = Finished::of(command).await;
        assert_eq!(several.code, Some(2));
        assert!(several.stderr.contains("--project: proj_shop, proj_blog"), "{several}");
        emulator.delete_project("proj_blog").unwrap();
        let mut command = bondify(&args);
        command.env("BONDIFY_API_URL", emulator.url()).env("BONDIFY_DEVELOPER_TOKEN", "dev_hush");
        assert_eq!(Finished::of(command).await.stdout.lines().count(), 3);
        let no_url = catch_up(&emulator, &["--since=1h"]).await;
        assert_eq!(no_url.code, Some(2));
    })
    .await;
}
