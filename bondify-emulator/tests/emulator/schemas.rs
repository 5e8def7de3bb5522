//! Every answer, delivery and proof has the types of the official SDKs and of the documentation.
//!
//! `schemas/types.json` has these types as JSON schemas. `schemas/readings.json` has the types that a reading
//! replaces: what a reading may change. `Sdk…` and `Docs…` are one object in the words of the SDKs (Node
//! 3.0.2, React 3.0.1) and of the documentation; an answer has both unless a reading asks for one.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bondify_emulator::{Emulator, Persona, Plan, ProjectSettings, Reading};
use jsonschema::{Validator, validator_for};
use serde_json::{Map, Value, json};

use crate::support::{SHOP, answer, request, start};

struct Types(Validator);

impl Types {
    fn of_the_sources() -> Self {
        Self::with(json!({}))
    }

    fn under(reading: Reading) -> Self {
        let readings = include_str!("schemas/readings.json");
        let mut readings: Value = serde_json::from_str(readings).unwrap();
        Self::with(readings[reading.name()].take())
    }

    fn with(replaced: Value) -> Self {
        let mut types: Map<String, Value> =
            serde_json::from_str(include_str!("schemas/types.json")).unwrap();
        types.extend(serde_json::from_value::<Map<_, _>>(replaced).unwrap());
        let reference = |name: &String| (name.clone(), json!({"$ref": format!("#/$defs/{name}")}));
        let each: Map<_, _> = types.keys().map(reference).collect();
        Self(validator_for(&json!({"properties": each, "$defs": types})).unwrap())
    }

    /// The differences between `value` and the type `name`.
    fn errors(&self, name: &str, value: &Value) -> Vec<String> {
        let value = json!({name: value});
        let errors = self.0.iter_errors(&value);
        errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    fn assert_all(&self, answers: &[(&str, Value)]) {
        for (name, answer) in answers {
            let errors = self.errors(name, answer);
            assert!(errors.is_empty(), "{errors:#?} in {answer:#}");
        }
    }
}

/// All that an emulator sends, each with the name of its type.
struct Sent {
    emulator: Emulator,
    answers: Vec<(&'static str, Value)>,
    /// The claims of proofs and the bodies of deliveries, which are the same under every reading.
    signed: Vec<(&'static str, Value)>,
}

impl Sent {
    async fn under(reading: Option<Reading>) -> Self {
        let builder = Emulator::builder().retries(0);
        let builder = reading.into_iter().fold(builder, |builder, it| builder.reading(it));
        let shop = ProjectSettings::new().plan(Plan::Pro).req_phone(true);
        let emulator = start(builder, shop.webhook_url("http://127.0.0.1:9/")).await;
        let mut sent = Self { emulator, answers: Vec::new(), signed: Vec::new() };
        sent.call_public_api().await;
        sent.call_developer_api().await;
        sent
    }

    async fn call(&mut self, method: &str, path: &str, body: Value, of: &'static str) -> Value {
        let request = request(&self.emulator, method, &format!("/api/v1/{path}"));
        let request = request.bearer_auth(self.emulator.developer_token());
        let answer = answer(request.body(body.to_string())).await.json;
        self.answers.push((of, answer.clone()));
        answer
    }

    async fn get(&mut self, path: &str, of: &'static str) {
        self.call("GET", path, Value::Null, of).await;
    }

    async fn verify(&mut self, token: &str, of: &'static str) -> Value {
        let body = json!({"project_id": SHOP, "session_token": token});
        self.call("POST", "verify/public", body, of).await
    }

    async fn call_public_api(&mut self) {
        let body = json!({"project_id": SHOP});
        self.call("POST", "generate/public", body, "NewSession").await;
        let [pending, cancelled, expired, short, long] =
            [(); 5].map(|()| self.emulator.generate(SHOP).unwrap().token);
        self.emulator.cancel(&cancelled).unwrap();
        self.emulator.expire(&expired).unwrap();
        self.emulator.confirm(&short, Persona::new("1", "Ada")).unwrap();
        self.emulator.confirm(&long, Persona::default()).unwrap();
        self.verify(&pending, "Pending").await;
        self.verify(&cancelled, "Cancelled").await;
        self.verify(&expired, "Expired").await;
        for token in [&short, &long] {
            let confirmed = self.verify(token, "Confirmed").await;
            self.signed.push(("Proof", claims(confirmed["proof"].as_str().unwrap())));
            // A reading uses the session at once.
            let _ = self.emulator.use_proof(token);
            self.verify(token, "Used").await;
        }
        let bare = ProjectSettings::new().bare_used(true);
        self.emulator.update_project(SHOP, bare).unwrap();
        self.verify(&long, "BareUsed").await;
        for delivery in self.emulator.deliveries() {
            let is_cancelled = delivery.event == "auth.cancelled";
            let of = if is_cancelled { "CancelledEvent" } else { "ConfirmedEvent" };
            self.signed.push((of, delivery.body.parse().unwrap()));
        }
        self.verify("sess_unknown", "Error").await;
        self.call("POST", "generate/public", json!({"project_id": "unknown"}), "Error").await;
    }

    async fn call_developer_api(&mut self) {
        self.call("POST", "dev/login", json!({"email": "ada@example.com"}), "DeveloperToken").await;
        self.get("dev/me", "Me").await;
        let new = json!({"name": "Blog", "webhook_url": "https://blog.example/"});
        self.call("POST", "dev/projects", new, "NewProject").await;
        self.call("POST", "dev/projects", json!({"name": "Wiki"}), "NewProject").await;
        self.get("dev/projects", "Projects").await;
        self.get("dev/sessions", "Sessions").await;
        self.get("dev/analytics", "Analytics").await;
        let project = format!("dev/projects/{SHOP}");
        self.get(&format!("{project}/webhook-secret"), "WebhookSecret").await;
        self.call("POST", &format!("{project}/regenerate"), json!({}), "SecretKey").await;
        self.call("PATCH", &project, json!({"name": "Store"}), "Done").await;
        self.call("PATCH", &project, json!({"name": ""}), "Error").await;
        self.call("DELETE", &project, Value::Null, "Done").await;
        self.call("DELETE", &project, Value::Null, "Error").await;
    }
}

fn claims(proof: &str) -> Value {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(proof.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&claims).unwrap()
}

#[tokio::test]
async fn every_answer_has_the_types_of_the_sources() {
    let (types, sent) = (Types::of_the_sources(), Sent::under(None).await);
    types.assert_all(&sent.answers);
    types.assert_all(&sent.signed);
}

#[tokio::test]
async fn a_reading_changes_the_types_that_it_names_and_no_others() {
    let sources = Types::of_the_sources();
    for reading in Reading::ALL {
        let sent = Sent::under(Some(reading)).await;
        Types::under(reading).assert_all(&sent.answers);
        sources.assert_all(&sent.signed);
        let is_other = |(name, answer): &(&str, Value)| !sources.errors(name, answer).is_empty();
        let has_other_types = sent.answers.iter().any(is_other);
        assert_eq!(has_other_types, reading != Reading::UsedAtOnce, "{reading}");
    }
}
