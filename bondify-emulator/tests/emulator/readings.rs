use bondify_emulator::{Emulator, Persona, ProjectSettings, Reading};
use serde_json::{Value, json};

use crate::support::{Answer, SHOP, answer, post, request, start};

async fn with(reading: Reading) -> Emulator {
    start(Emulator::builder().reading(reading), ProjectSettings::new()).await
}

fn generate(emulator: &Emulator) -> String {
    emulator.generate(SHOP).unwrap().token
}

async fn verify(emulator: &Emulator, token: &str) -> Answer {
    let body = json!({"project_id": SHOP, "session_token": token});
    post(emulator, "/api/v1/verify/public", body).await
}

async fn get(emulator: &Emulator, path: &str) -> Value {
    let request = request(emulator, "GET", &format!("/api/v1/dev/{path}"));
    answer(request.bearer_auth(emulator.developer_token())).await.json
}

#[tokio::test]
async fn an_ended_session_is_refused_with_a_code() {
    let emulator = with(Reading::EndCodes).await;
    let [expired, cancelled, pending] = [(); 3].map(|()| generate(&emulator));
    emulator.expire(&expired).unwrap();
    emulator.cancel(&cancelled).unwrap();
    assert_eq!(verify(&emulator, &expired).await.error(), (410, "SESSION_EXPIRED"));
    assert_eq!(verify(&emulator, &cancelled).await.error(), (410, "SESSION_CANCELLED"));
    assert_eq!(verify(&emulator, &pending).await.json, json!({"status": "pending"}));
}

#[tokio::test]
async fn the_first_confirmed_answer_uses_the_session() {
    let emulator = with(Reading::UsedAtOnce).await;
    let token = generate(&emulator);
    assert_eq!(verify(&emulator, &token).await.json["status"], "pending");
    emulator.confirm(&token, Persona::default()).unwrap();
    assert_eq!(verify(&emulator, &token).await.json["status"], "confirmed");
    assert_eq!(verify(&emulator, &token).await.json["status"], "used");
}

#[tokio::test]
async fn a_list_has_one_page() {
    let emulator = with(Reading::Pages).await;
    for (count, has_more) in [(100, false), (1, true)] {
        (0..count).for_each(|_| drop(generate(&emulator)));
        let list = get(&emulator, "sessions").await;
        assert_eq!(list["sessions"].as_array().unwrap().len(), 100);
        assert_eq!(list["has_more"], has_more);
    }
}
