use std::time::Duration;

use bondify_emulator::{Builder, DeliveryState, Emulator, Persona, ProjectSettings, StartError};
use bondify_testkit::within_a_minute;

use crate::support::{RawReceiver, SHOP, shop, start};

fn kept_in(folder: &tempfile::TempDir) -> Builder {
    Emulator::builder().state(folder.path().join("state"))
}

#[tokio::test]
async fn projects_and_sessions_outlive_a_restart() {
    within_a_minute(async {
        let folder = tempfile::tempdir().unwrap();
        let emulator = start(kept_in(&folder), ProjectSettings::new().name("Shop")).await;
        let made = emulator.add_project(ProjectSettings::new().name("Blog")).unwrap();
        let secret = shop(&emulator).reveal_secret().to_owned();
        let pending = emulator.generate(SHOP).unwrap().token;
        let confirmed = emulator.generate(SHOP).unwrap().token;
        emulator.confirm(&confirmed, Persona::default()).unwrap();
        drop(emulator);

        let emulator = start(kept_in(&folder), ProjectSettings::new()).await;
        assert_eq!((&*shop(&emulator).name, shop(&emulator).reveal_secret()), ("Shop", &*secret));
        assert_eq!(emulator.project(&made.id).unwrap().name, "Blog");
        assert_eq!(emulator.session(&pending).unwrap().status.name(), "pending");
        let session = emulator.session(&confirmed).unwrap();
        assert_eq!(session.confirmation().unwrap().persona, Persona::default());
    })
    .await;
}

#[tokio::test]
async fn the_builders_settings_override_the_state_file() {
    within_a_minute(async {
        let folder = tempfile::tempdir().unwrap();
        let settings = ProjectSettings::new().name("Shop").req_phone(true);
        drop(start(kept_in(&folder), settings).await);
        let emulator = start(kept_in(&folder), ProjectSettings::new().name("Store")).await;
        assert_eq!((&*shop(&emulator).name, shop(&emulator).req_phone), ("Store", true));
    })
    .await;
}

#[tokio::test]
async fn an_unfinished_delivery_continues_after_a_restart() {
    within_a_minute(async {
        let folder = tempfile::tempdir().unwrap();
        let receiver = RawReceiver::start().await;
        let settings = || ProjectSettings::new().webhook_url(receiver.url());
        let builder = || kept_in(&folder).retry_base(Duration::from_millis(10));
        let emulator = start(builder(), settings()).await;
        let token = emulator.generate(SHOP).unwrap().token;
        emulator.confirm(&token, Persona::default()).unwrap();
        let first = receiver.answer_status(503).await;
        let in_flight = receiver.accept().await;
        emulator.stop().await;
        drop(in_flight);

        let emulator = start(builder(), settings()).await;
        let last = receiver.answer_status(200).await;
        assert_eq!(last.body, first.body);
        let delivery = emulator.delivery_of(&token).await.unwrap();
        assert_eq!(delivery.state, DeliveryState::Delivered);
        assert_eq!(delivery.attempts.len(), 2, "the one that broke off is not known of");
    })
    .await;
}

#[tokio::test]
async fn a_file_cannot_be_used_by_two_emulators() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = kept_in(&folder).start().await.unwrap();
    let second = kept_in(&folder).start().await;
    assert!(matches!(second.unwrap_err(), StartError::State(_)));
    drop(emulator);
    kept_in(&folder).start().await.unwrap();
}

#[tokio::test]
async fn invalid_settings_are_refused_at_the_start() {
    let builder = Emulator::builder().project(ProjectSettings::new().secret(""));
    assert!(matches!(builder.start().await.unwrap_err(), StartError::Project(_)));
    let taken = Emulator::builder().start().await.unwrap();
    let second = Emulator::builder().port(taken.address().port()).start().await;
    assert!(matches!(second.unwrap_err(), StartError::Bind(..)));
}
