use bondify_emulator::{Emulator, Persona, ProjectSettings};
use bondify_testkit::within_a_minute;
use serde_json::{Value, json};

use crate::support::{Answer, RawReceiver, SHOP, answer, get, plain, post, request, shop, start};

async fn act(emulator: &Emulator, token: &str, action: &str) -> Answer {
    let path = format!("/emulator/sessions/{token}/{action}");
    answer(request(emulator, "POST", &path)).await
}

#[tokio::test]
async fn health_is_ok() {
    let emulator = plain().await;
    let health = get(&emulator, "/emulator/health").await;
    assert_eq!((health.status, &health.json["status"]), (200, &json!("ok")));
}

#[tokio::test]
async fn a_session_is_confirmed_by_the_given_persona() {
    let emulator = plain().await;
    let confirm = async |body: &'static str| {
        let token = emulator.generate(SHOP).unwrap().token;
        let path = format!("/emulator/sessions/{token}/confirm");
        let confirmed = answer(request(&emulator, "POST", &path).body(body)).await;
        assert_eq!((confirmed.status, &confirmed.json["status"]), (200, &json!("confirmed")));
        emulator.session(&token).unwrap().confirmation().unwrap().persona.clone()
    };
    assert_eq!(confirm("").await, Persona::default());
    let default_id = Persona::default().telegram_id;
    assert_eq!(confirm(r#"{"telegram_name":"Bob"}"#).await, Persona::new(default_id, "Bob"));
    let all = r#"{"telegram_id":"8","telegram_name":"Eve","telegram_username":"eve",
        "telegram_phone":"+1"}"#;
    assert_eq!(confirm(all).await, Persona::new("8", "Eve").username("eve").phone("+1"));
}

#[tokio::test]
async fn an_id_of_letters_is_refused() {
    let emulator = plain().await;
    let token = emulator.generate(SHOP).unwrap().token;
    let path = format!("/emulator/sessions/{token}/confirm");
    for persona in [json!({"telegram_id": "ada"}), json!({"telegram_name": ""}), json!(7)] {
        assert_eq!(post(&emulator, &path, persona).await.error(), (400, "BAD_REQUEST"));
    }
    assert_eq!(act(&emulator, &token, "confirm").await.status, 200);
}

#[tokio::test]
async fn sessions_are_cancelled_made_to_expire_and_used() {
    let emulator = plain().await;
    for (actions, status) in
        [(&["cancel"][..], "cancelled"), (&["expire"], "expired"), (&["confirm", "use"], "used")]
    {
        let token = emulator.generate(SHOP).unwrap().token;
        for action in actions {
            assert_eq!(act(&emulator, &token, action).await.status, 200);
        }
        let session = get(&emulator, &format!("/emulator/sessions/{token}")).await;
        assert_eq!(session.json["status"], status);
        for action in ["confirm", "cancel", "expire"] {
            let refused = act(&emulator, &token, action).await;
            assert_eq!(refused.error(), (409, "SESSION_NOT_PENDING"));
            assert!(refused.json["error"].as_str().unwrap().contains(status));
        }
        let refused = act(&emulator, &token, "use").await;
        assert_eq!(refused.error(), (409, "SESSION_NOT_CONFIRMED"));
    }
    let sessions = get(&emulator, "/emulator/sessions").await;
    assert_eq!(sessions.json["sessions"].as_array().unwrap().len(), 3);
    for action in ["confirm", "cancel", "expire", "use"] {
        let refused = act(&emulator, "sess_unheard_of", action).await;
        assert_eq!(refused.error(), (404, "SESSION_NOT_FOUND"));
    }
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_with_their_attempts() {
    within_a_minute(async {
        let receiver = RawReceiver::start().await;
        let settings = ProjectSettings::new().webhook_url(receiver.url());
        let emulator = start(Emulator::builder().retries(0), settings).await;
        let tokens =
            [emulator.generate(SHOP).unwrap().token, emulator.generate(SHOP).unwrap().token];
        for (token, status) in tokens.iter().zip([204, 500]) {
            assert_eq!(act(&emulator, token, "confirm").await.status, 200);
            let (_, delivery) =
                tokio::join!(receiver.answer_status(status), emulator.delivery_of(token));
            assert_eq!(delivery.unwrap().attempts[0].outcome.status(), Some(status));
        }
        let listed = get(&emulator, "/emulator/deliveries").await.json;
        let listed = listed["deliveries"].as_array().unwrap();
        let [failed, delivered] = &listed[..] else { panic!("two deliveries") };
        assert_eq!(
            (&failed["state"], &delivered["state"]),
            (&json!("failed"), &json!("delivered"))
        );
        assert_eq!((&failed["id"], &delivered["id"]), (&json!("dlv_2"), &json!("dlv_1")));
        assert_eq!(failed["session_token"], tokens[1]);
        assert_eq!(failed["attempts"][0]["status"], 500);
        assert_eq!(failed["attempts"].as_array().unwrap().len(), 1);
        let body: Value = serde_json::from_str(failed["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["session_token"], tokens[1]);

        let path = format!("/emulator/deliveries?session_token={}", tokens[0]);
        assert_eq!(get(&emulator, &path).await.json["deliveries"], json!([delivered]));
        assert_eq!(get(&emulator, "/emulator/deliveries/dlv_1").await.json, *delivered);
        let nothing = get(&emulator, "/emulator/deliveries?project_id=other").await;
        assert_eq!(nothing.json, json!({"deliveries": []}));
    })
    .await;
}

#[tokio::test]
async fn a_delivery_is_sent_again() {
    within_a_minute(async {
        let receiver = RawReceiver::start().await;
        let settings = ProjectSettings::new().webhook_url(receiver.url());
        let emulator = start(Emulator::builder(), settings).await;
        let token = emulator.generate(SHOP).unwrap().token;
        emulator.confirm(&token, Persona::default()).unwrap();
        let first = receiver.answer_status(200).await;
        let first_id = emulator.delivery_of(&token).await.unwrap().id;

        let path = format!("/emulator/deliveries/{first_id}/resend");
        let again = answer(request(&emulator, "POST", &path)).await;
        assert_eq!(again.status, 200);
        assert_eq!(again.json["cause"], json!({"kind": "resend", "of": first_id}));
        let second = receiver.answer_status(200).await;
        assert_eq!((&second.head, &second.body), (&first.head, &first.body));

        for path in ["dlv_9", "9", "nonsense"] {
            let path = format!("/emulator/deliveries/{path}/resend");
            let refused = answer(request(&emulator, "POST", &path)).await;
            assert_eq!(refused.error(), (404, "DELIVERY_NOT_FOUND"));
        }
    })
    .await;
}

#[tokio::test]
async fn test_events_are_sent() {
    let receiver = RawReceiver::start().await;
    let settings = ProjectSettings::new().webhook_url(receiver.url());
    let emulator = start(Emulator::builder(), settings).await;
    let path = format!("/emulator/projects/{SHOP}/test");
    for (body, event) in [
        (Value::Null, "auth.confirmed"),
        (json!({"event": "auth.cancelled"}), "auth.cancelled"),
        (json!({"event": "auth.renewed"}), "auth.renewed"),
    ] {
        let sent = post(&emulator, &path, body).await;
        assert_eq!((sent.status, &sent.json["event"]), (200, &json!(event)));
        let received = receiver.answer_status(200).await;
        let body: Value = serde_json::from_str(&received.body).unwrap();
        assert_eq!(body["event"], event);
    }
}

#[tokio::test]
async fn projects_are_set_up() {
    let emulator = plain().await;
    let path = format!("/emulator/projects/{SHOP}");
    let patch = async |settings: Value| {
        let request = request(&emulator, "PATCH", &path);
        answer(request.body(settings.to_string())).await
    };
    let faults = json!(["duplicate", "delay=250"]);
    let changed = patch(json!({"plan": "business", "faults": faults})).await;
    assert_eq!((&changed.json["plan"], &changed.json["faults"]), (&json!("business"), &faults));
    let projects = get(&emulator, "/emulator/projects").await.json;
    assert_eq!(projects["projects"], json!([changed.json]));
    for bad in [json!({"plan": "free"}), json!({"faults": ["x"]}), json!({"secret": "x"})] {
        assert_eq!(patch(bad.clone()).await.error(), (400, "BAD_REQUEST"), "{bad}");
    }

    let secret = shop(&emulator).reveal_secret().to_owned();
    assert!(!projects.to_string().contains(&secret));
    assert!(!projects.to_string().contains(shop(&emulator).reveal_secret_key()));
    let revealed = get(&emulator, &format!("{path}/secret")).await;
    assert_eq!(revealed.json, json!({"secret": secret}));
    let regenerated = answer(request(&emulator, "POST", &format!("{path}/regenerate"))).await;
    assert_eq!(regenerated.json, json!({"secret": shop(&emulator).reveal_secret()}));
    assert_ne!(regenerated.json, revealed.json);
}

#[tokio::test]
async fn a_reset_starts_over() {
    let emulator = plain().await;
    emulator.add_project(ProjectSettings::new().id("other")).unwrap();
    let token = emulator.generate(SHOP).unwrap().token;
    assert_eq!(answer(request(&emulator, "POST", "/emulator/reset")).await.status, 200);
    assert_eq!(emulator.projects().len(), 1);
    assert!(emulator.session(&token).is_err());
}

#[tokio::test]
async fn changes_are_streamed_as_they_happen() {
    let emulator = plain().await;
    let mut events = request(&emulator, "GET", "/emulator/events").send().await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let token = emulator.generate(SHOP).unwrap().token;
    let event = events.chunk().await.unwrap().unwrap();
    let event = std::str::from_utf8(&event).unwrap();
    let json: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(json["session"]["session_token"], token);
    drop(emulator);
    assert!(matches!(events.chunk().await, Ok(None)), "the stream ends with the emulator");
}
