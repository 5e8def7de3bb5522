use bondify_core::{Event, Secret, Verifier, VerifyError};
use proptest::{option, prelude::*};
use serde_json::{Value, json};

use super::*;
use crate::{
    Attempt, Cause, Error, Fault, Outcome, Persona, Plan, ProjectSettings, Resend, SessionStatus,
};

const MINUTE: Duration = Duration::from_secs(60);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn secret() -> Secret {
    Secret::new("whsec_shop").unwrap()
}

fn with_shop(settings: ProjectSettings) -> State {
    let mut state = State::new(Rules::default(), now());
    let url = "http://localhost:3000/hook";
    let settings = settings.id("shop").secret("whsec_shop").webhook_url(url);
    state.add_project(settings).unwrap();
    state
}

fn shop() -> State {
    with_shop(ProjectSettings::new().public_access(true))
}

fn generate(state: &mut State) -> String {
    state.generate("shop").unwrap().token
}

fn newest(state: &State) -> &Delivery {
    state.deliveries().next().unwrap()
}

fn confirmed_with(faults: impl IntoIterator<Item = Fault>) -> Delivery {
    let mut state = with_shop(ProjectSettings::new().faults(faults));
    let token = generate(&mut state);
    state.confirm(&token, Persona::default()).unwrap();
    newest(&state).clone()
}

fn verify(delivery: &Delivery) -> Result<Event, VerifyError> {
    let verifier = Verifier::new(secret()).clock(now);
    verifier.verify(delivery.body.clone(), &delivery.signature)
}

fn end_attempt(state: &mut State, id: DeliveryId, status: u16) {
    state.begin_attempt(id).unwrap();
    let attempt = Attempt {
        started_at: now(),
        duration: Duration::ZERO,
        request_headers: Vec::new(),
        outcome: Outcome::Answered {
            status,
            response_headers: Vec::new(),
            response_body: String::new(),
        },
    };
    state.end_attempt(id, attempt);
}

#[test]
fn a_confirmation_is_an_event_that_core_verifies() {
    let delivery = confirmed_with([]);
    let Event::Confirmed(login) = verify(&delivery).unwrap() else { panic!("confirmed") };
    assert_eq!(login.session_token(), delivery.session_token);
    assert_eq!(login.user().id().as_str(), "7123456789");
    assert_eq!(login.confirmed_at(), now());
}

proptest! {
    #[test]
    fn a_persona_is_delivered_unchanged(
        id in "[0-9]{1,19}",
        name in ".+",
        username in option::of(".+"),
        phone in option::of(".+"),
    ) {
        let mut state = with_shop(ProjectSettings::new().plan(Plan::Pro).req_phone(true));
        let token = generate(&mut state);
        let persona = Persona {
            telegram_id: id,
            telegram_name: name,
            telegram_username: username,
            telegram_phone: phone,
        };
        state.confirm(&token, persona.clone()).unwrap();
        let Event::Confirmed(login) = verify(newest(&state)).unwrap() else {
            panic!("confirmed")
        };
        prop_assert_eq!(login.user().id().as_str(), persona.telegram_id);
        prop_assert_eq!(login.user().name(), persona.telegram_name);
        prop_assert_eq!(login.user().username(), persona.telegram_username.as_deref());
        prop_assert_eq!(login.user().phone(), persona.telegram_phone.as_deref());
    }
}

#[test]
fn a_cancellation_is_an_event_that_core_verifies() {
    let mut state = shop();
    let token = generate(&mut state);
    state.cancel(&token).unwrap();
    let event = verify(newest(&state)).unwrap();
    assert_eq!((event.name(), event.session_token()), ("auth.cancelled", Some(&*token)));
}

#[test]
fn each_session_ends_once() {
    type End = fn(&mut State, &str) -> Result<Session, Error>;
    let ends: [End; 3] =
        [|state, token| state.confirm(token, Persona::default()), State::cancel, State::expire];
    for first in ends {
        for second in ends {
            let mut state = shop();
            let token = generate(&mut state);
            let ended = first(&mut state, &token).unwrap();
            let delivered = state.deliveries().count();
            assert_eq!(
                second(&mut state, &token).unwrap_err(),
                Error::SessionNotPending(ended.status.name())
            );
            assert_eq!(state.deliveries().count(), delivered);
        }
    }
}

#[test]
fn nothing_is_delivered_when_a_session_expires() {
    let mut state = shop();
    let (by_hand, by_itself) = (generate(&mut state), generate(&mut state));
    state.expire(&by_hand).unwrap();
    state.now += 10 * MINUTE;
    assert_eq!(state.session(&by_itself).unwrap().status, SessionStatus::Expired);
    assert_eq!(
        state.confirm(&by_itself, Persona::default()).unwrap_err(),
        Error::SessionNotPending("expired")
    );
    assert_eq!(state.deliveries().count(), 0);
}

#[test]
fn nothing_is_delivered_without_a_webhook_url() {
    let mut state = shop();
    state.update_project("shop", ProjectSettings::new().webhook_url("")).unwrap();
    let token = generate(&mut state);
    state.confirm(&token, Persona::default()).unwrap();
    assert_eq!(state.deliveries().count(), 0);
    assert_eq!(state.send_test_event("shop", "auth.confirmed").unwrap_err(), Error::NoWebhookUrl);
}

#[test]
fn only_a_confirmed_sessions_proof_can_be_used_once() {
    let mut state = shop();
    let token = generate(&mut state);
    let not_confirmed = |name| Err(Error::SessionNotConfirmed(name));
    let used = |state: &mut State| state.use_proof(&token).map(|_| ());
    assert_eq!(used(&mut state), not_confirmed("pending"));
    state.confirm(&token, Persona::default()).unwrap();
    assert_eq!(used(&mut state), Ok(()));
    assert_eq!(used(&mut state), not_confirmed("used"));
    assert!(state.session(&token).unwrap().confirmation().is_some());
}

#[test]
fn a_phone_number_is_for_paying_projects_that_ask() {
    for (plan, req_phone, shown) in [
        (Plan::Hobby, true, false),
        (Plan::Pro, true, true),
        (Plan::Business, true, true),
        (Plan::Pro, false, false),
    ] {
        let mut state = with_shop(ProjectSettings::new().plan(plan).req_phone(req_phone));
        let token = generate(&mut state);
        state.confirm(&token, Persona::default()).unwrap();
        let body: Value = serde_json::from_str(&newest(&state).body).unwrap();
        assert_eq!(body.get("telegram_phone").is_some(), shown, "{plan:?} {req_phone}");
    }
}

#[test]
fn a_rotated_secret_signs_new_deliveries() {
    let mut state = shop();
    let (before, after) = (generate(&mut state), generate(&mut state));
    state.confirm(&before, Persona::default()).unwrap();
    let before = newest(&state).id;
    let rotated = state.rotate_secret("shop").unwrap();
    state.confirm(&after, Persona::default()).unwrap();
    let signed = |id, secret: &Secret| {
        let delivery = state.delivery(id).unwrap();
        secret.sign(delivery.body.as_bytes()).to_string() == delivery.signature
    };
    let after = newest(&state).id;
    assert!(signed(before, &secret()) && !signed(before, &rotated.secret()));
    assert!(signed(after, &rotated.secret()) && !signed(after, &secret()));
}

#[test]
fn each_fault_has_its_documented_effect() {
    for fault in [Fault::TamperedBody, Fault::WrongSecret] {
        let refused = verify(&confirmed_with([fault]));
        assert!(matches!(refused, Err(VerifyError::InvalidSignature)), "{fault}: {refused:?}");
    }
    let tampered = confirmed_with([Fault::TamperedBody]);
    assert!(serde_json::from_str::<Value>(&tampered.body).is_ok(), "it is still JSON");
    let stale = verify(&confirmed_with([Fault::StaleTimestamp]));
    assert!(matches!(stale, Err(VerifyError::Stale)), "{stale:?}");
    let unknown = verify(&confirmed_with([Fault::UnknownEvent])).unwrap();
    assert!(matches!(unknown, Event::Unknown(_)));
    assert_eq!(unknown.name(), Fault::UNKNOWN_EVENT);
}

#[test]
fn a_delivery_that_is_sent_again_is_the_same_to_the_byte() {
    let mut state = with_shop(ProjectSettings::new().faults([Fault::WrongSecret]));
    let token = generate(&mut state);
    state.confirm(&token, Persona::default()).unwrap();
    let first = newest(&state).clone();
    state.rotate_secret("shop").unwrap();
    let elsewhere = ProjectSettings::new().webhook_url("http://localhost:4000/").faults([]);
    state.update_project("shop", elsewhere).unwrap();
    let again = state.resend(first.id, Resend::default()).unwrap();
    assert_eq!((&again.body, &again.signature), (&first.body, &first.signature));
    assert_eq!(again.url.as_str(), "http://localhost:4000/");
    assert_eq!(again.cause, Cause::Resend(first.id));
}

#[test]
fn a_resend_may_have_another_url_and_another_body_which_is_signed_anew() {
    let mut state = shop();
    let token = generate(&mut state);
    state.confirm(&token, Persona::default()).unwrap();
    let first = newest(&state).clone();
    let same = Resend::new().body(&first.body).url("https://elsewhere.example/");
    let same = state.resend(first.id, same).unwrap();
    assert_eq!((&same.body, &same.signature), (&first.body, &first.signature));
    assert_eq!(same.url.as_str(), "https://elsewhere.example/");
    let body = r#"{"event":"auth.new","session_token":"s"}"#;
    let edited = state.resend(first.id, Resend::new().body(body)).unwrap();
    assert_eq!((&*edited.event, &*edited.session_token), ("auth.new", "s"));
    assert_eq!(verify(&edited).unwrap().name(), "auth.new");
    for url in ["ftp://x/", "http://192.0.2.1/"] {
        let refused = state.resend(first.id, Resend::new().url(url));
        assert!(matches!(refused, Err(Error::BadRequest(_))), "{url}");
    }
}

#[test]
fn all_failed_deliveries_are_resent_once() {
    let mut state = State::new(Rules { retry: no_retries(), ..Rules::default() }, now());
    for id in ["shop", "blog"] {
        let settings = ProjectSettings::new().id(id).webhook_url("http://localhost/");
        state.add_project(settings).unwrap();
        for status in [500, 200, 503] {
            let sent = state.send_test_event(id, "auth.confirmed").unwrap();
            end_attempt(&mut state, sent.id, status);
        }
    }
    let causes = |sent: Vec<Arc<Delivery>>| -> Vec<_> {
        sent.into_iter().map(|delivery| delivery.cause).collect()
    };
    let resend_of = |number| Cause::Resend(DeliveryId(number));
    let of_blog = state.resend_failed(Some("blog")).unwrap();
    assert_eq!(causes(of_blog), [resend_of(4), resend_of(6)]);
    assert_eq!(causes(state.resend_failed(None).unwrap()), [resend_of(1), resend_of(3)]);
    assert!(state.resend_failed(None).unwrap().is_empty());
    assert_eq!(state.resend_failed(Some("x")).unwrap_err(), Error::ProjectNotFound);
}

fn no_retries() -> RetrySchedule {
    RetrySchedule { retries: 0, ..RetrySchedule::default() }
}

#[test]
fn a_test_event_may_have_any_name() {
    let mut state = shop();
    for name in ["auth.confirmed", "auth.cancelled", "auth.renewed"] {
        let delivery = state.send_test_event("shop", name).unwrap();
        assert_eq!(delivery.event, name);
        assert_eq!(verify(&delivery).unwrap().name(), name);
    }
    for name in ["", &"x".repeat(201)] {
        let refused = state.send_test_event("shop", name);
        assert!(matches!(refused, Err(Error::BadRequest(_))));
    }
}

#[test]
fn the_newest_deliveries_are_kept_and_all_that_are_not_finished() {
    let mut state = State::new(Rules { keep_deliveries: 3, ..Rules::default() }, now());
    let settings = ProjectSettings::new().id("shop").webhook_url("http://localhost/");
    state.add_project(settings).unwrap();
    for _ in 0..5 {
        state.send_test_event("shop", "auth.confirmed").unwrap();
    }
    let numbers =
        |state: &State| -> Vec<_> { state.deliveries().map(|delivery| delivery.id.0).collect() };
    assert_eq!(numbers(&state), [5, 4, 3, 2, 1]);
    end_attempt(&mut state, DeliveryId(2), 200);
    end_attempt(&mut state, DeliveryId(4), 200);
    assert_eq!(numbers(&state), [5, 3, 1]);
}

#[test]
fn a_reset_restores_the_projects_of_the_builder() {
    let mut state = State::new(Rules::default(), now());
    state.add_preset(ProjectSettings::new().id("shop")).unwrap();
    let secret = state.project("shop").unwrap().reveal_secret().to_owned();
    state.rotate_secret("shop").unwrap();
    state.update_project("shop", ProjectSettings::new().name("Other").active(false)).unwrap();
    state.add_project(ProjectSettings::new().id("blog")).unwrap();
    let token = generate(&mut state);
    state.reset();
    let [shop] = state.projects() else { panic!("one project") };
    assert_eq!((&*shop.name, shop.active, shop.reveal_secret()), ("shop", true, &*secret));
    assert_eq!(state.session(&token).unwrap_err(), Error::SessionNotFound);
}

#[test]
fn deleting_a_project_deletes_its_sessions_and_deliveries() {
    let mut state = shop();
    state.add_project(ProjectSettings::new().id("blog")).unwrap();
    let kept = state.generate("blog").unwrap().token;
    let token = generate(&mut state);
    state.confirm(&token, Persona::default()).unwrap();
    let id = newest(&state).id;
    state.delete_project("shop").unwrap();
    assert_eq!(state.begin_attempt(id).map(|_| ()), None);
    let tokens: Vec<_> = state.sessions().into_iter().map(|left| left.token).collect();
    assert_eq!(tokens, [kept]);
}

#[test]
fn old_sessions_are_deleted_at_the_start() {
    let mut state = shop();
    generate(&mut state);
    let day = Duration::from_secs(24 * 60 * 60);
    state.now = now() + day * 90;
    state.resume();
    assert_eq!(state.sessions().len(), 1);
    state.now = now() + day * 92;
    state.resume();
    assert_eq!(state.sessions().len(), 0);
}

#[test]
fn the_public_api_serves_active_projects_with_public_access() {
    let mut state = shop();
    assert_eq!(state.admit("shop"), Ok(()));
    assert_eq!(state.admit("blog"), Err(Error::ProjectNotFound));
    state.update_project("shop", ProjectSettings::new().public_access(false)).unwrap();
    assert_eq!(state.admit("shop"), Err(Error::PublicAccessDisabled));
    state.update_project("shop", ProjectSettings::new().active(false)).unwrap();
    assert_eq!(state.admit("shop"), Err(Error::ProjectInactive));
}

#[test]
fn changes_lead_to_the_same_state() {
    let mut state = shop();
    let token = generate(&mut state);
    state.confirm(&token, Persona::default()).unwrap();
    let id = newest(&state).id;
    end_attempt(&mut state, id, 503);
    let mut other = State::new(Rules::default(), now());
    state.take_changes().into_iter().for_each(|change| other.restore(change));
    let all = |state: &State| json!(state.to_changes().collect::<Vec<_>>());
    assert_eq!(all(&other), all(&state));
}
