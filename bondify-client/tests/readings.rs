//! The client against a local Bondify that answers in each way in which the sources can be read.
#![allow(clippy::unwrap_used, reason = "a failure in a test is its report")]

use std::time::{Duration, SystemTime};

use bondify_client::{Client, ClientBuilder, Days, Event, ProjectSettings, SessionStatus};
use bondify_emulator::{Emulator, Persona, Reading};
use bondify_testkit::within_a_minute;

const SHOP: &str = "proj_shop";

async fn emulator(reading: Reading) -> (Emulator, Client) {
    let shop = bondify_emulator::ProjectSettings::new().id(SHOP).public_access(true);
    let emulator = Emulator::builder().reading(reading).project(shop).start().await.unwrap();
    let interval = ClientBuilder::MIN_POLL_INTERVAL;
    let client = Client::builder().base_url(emulator.url()).poll_interval(interval);
    (emulator, client.build().unwrap())
}

fn is_recent(time: Option<SystemTime>) -> bool {
    let age = time.and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age < Duration::from_secs(120))
}

#[tokio::test]
async fn a_login_is_polled_under_each_reading() {
    within_a_minute(async {
        for reading in Reading::ALL {
            let (emulator, client) = emulator(reading).await;
            let sessions = client.sessions(SHOP);
            let session = sessions.generate().await.unwrap();
            assert_eq!(session.expires_at().is_some(), reading != Reading::NoExpiry, "{reading}");
            let token = session.session_token();
            assert_eq!(sessions.status(token).await.unwrap(), SessionStatus::Pending);
            emulator.confirm(token, Persona::new("7", "Ada")).unwrap();
            let SessionStatus::Confirmed(login) = sessions.wait(&session).await.unwrap() else {
                panic!("{reading}")
            };
            assert_eq!((login.user().id().as_str(), login.user().name()), ("7", "Ada"));
            assert!(is_recent(login.confirmed_at()), "{reading}");

            // The confirmed answer was lost: the next one has the login as well.
            let again = sessions.status(token).await.unwrap();
            assert_eq!(again.login().unwrap().user(), login.user(), "{reading}");

            let session = sessions.generate().await.unwrap();
            emulator.cancel(session.session_token()).unwrap();
            let cancelled = sessions.wait(&session).await.unwrap();
            assert_eq!(cancelled.name(), "cancelled", "{reading}");
            let session = sessions.generate().await.unwrap();
            emulator.expire(session.session_token()).unwrap();
            let expired = sessions.wait(&session).await.unwrap();
            assert_eq!(expired, SessionStatus::Expired, "{reading}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_used_session_without_a_login_is_in_the_session_list() {
    within_a_minute(async {
        let (emulator, client) = emulator(Reading::UsedAtOnce).await;
        let bare = bondify_emulator::ProjectSettings::new().bare_used(true);
        emulator.update_project(SHOP, bare).unwrap();
        let sessions = client.sessions(SHOP);
        let session = sessions.generate().await.unwrap();
        emulator.confirm(session.session_token(), Persona::new("7", "Ada")).unwrap();
        let _lost = sessions.status(session.session_token()).await.unwrap();
        let again = sessions.status(session.session_token()).await.unwrap();
        assert_eq!(again, SessionStatus::Used(None));
        let developer = client.developer(emulator.developer_token()).unwrap();
        let listed = developer.sessions().await.unwrap().records.remove(0);
        assert_eq!(listed.user().unwrap().id().as_str(), "7");
    })
    .await;
}

#[tokio::test]
async fn the_developer_api_is_read_under_each_reading() {
    within_a_minute(async {
        for reading in Reading::ALL {
            let (emulator, client) = emulator(reading).await;
            let developer = client.developer(emulator.developer_token()).unwrap();
            let [confirmed, cancelled] = [(); 2].map(|()| emulator.generate(SHOP).unwrap().token);
            emulator.confirm(&confirmed, Persona::new("7", "Ada")).unwrap();
            emulator.cancel(&cancelled).unwrap();

            let me = developer.me().await.unwrap();
            assert_eq!(me.developer_id, "dev_emulator", "{reading}");
            let has_users = reading != Reading::DocsNames;
            assert_eq!(me.mau.map(|mau| mau.current), has_users.then_some(1), "{reading}");

            let blog = developer.create_project("Blog", ProjectSettings::new()).await.unwrap();
            assert_eq!(blog.secret_key.is_some(), reading != Reading::DocsNames, "{reading}");
            let projects = developer.projects().await.unwrap();
            assert_eq!((projects.unreadable, projects.has_more), (0, false), "{reading}");
            let [shop, listed] = &projects.records[..] else { panic!("{reading}") };
            assert_eq!((&*shop.project_id, shop.active), (SHOP, true), "{reading}");
            assert_eq!((shop.sessions_count, shop.confirmed_count), (Some(2), Some(1)));
            assert_eq!(shop.public_access, Some(true), "{reading}");
            assert!(is_recent(shop.created_at) && shop.secret_preview.is_some(), "{reading}");
            assert_eq!((&listed.project_id, &*listed.name), (&blog.project_id, "Blog"));
            developer.regenerate(&blog.project_id).await.unwrap();
            developer.webhook_secret(&blog.project_id).await.unwrap();

            let sessions = developer.sessions().await.unwrap();
            assert_eq!((sessions.records.len(), sessions.unreadable), (2, 0), "{reading}");
            assert!(sessions.records.iter().all(|session| is_recent(session.created_at)));
            let ages = Duration::ZERO..=Duration::from_secs(3600);
            let past = developer.past_events(SHOP, ages).await.unwrap();
            let tokens = past.events.records.iter().filter_map(Event::session_token);
            assert_eq!(tokens.collect::<Vec<_>>().len(), 2, "{reading}");

            let analytics = developer.analytics(Days::Fourteen, Some(SHOP)).await.unwrap();
            let counted = (analytics.total_sessions, analytics.conversion_rate);
            assert_eq!(counted, (2, Some(50.0)), "{reading}");
            assert_eq!((analytics.daily.records.len(), analytics.daily.unreadable), (14, 0));
            assert_eq!(analytics.funnel.unwrap().cancelled, 1, "{reading}");
            assert_eq!(analytics.projects.records.len(), 2, "{reading}");
        }
    })
    .await;
}
