//! Catch-up after an outage, against a local Bondify.
#![allow(clippy::unwrap_used, reason = "a failure in a test is its report")]

use std::{
    collections::HashMap,
    env, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bondify_client::{CatchUp, CaughtUp, Client, Developer, Event};
use bondify_core::{
    Bondify, Claimed, DedupeStore, EventKey, Handled, LeaseToken, MemoryStore, Reply, StoreError,
    async_trait,
};
use bondify_emulator::{Builder, Emulator, Fault, Persona, ProjectSettings, Session};
use bondify_testkit::{Answer, ProbeStore, ScriptedServer, WebhookRequest, within_a_minute};
use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use serde_json::{Value, json};
use time::UtcDateTime;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tracing::subscriber::{DefaultGuard, set_default};

const SHOP: &str = "proj_shop";
const BLOG: &str = "proj_blog";
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A local Bondify whose deliveries all fail, and its developer API.
struct Outage {
    emulator: Emulator,
    developer: Developer,
    /// The number of seconds that the clock of the local Bondify is behind.
    behind: Arc<AtomicU64>,
}

impl Outage {
    async fn start() -> Self {
        let project = |id| {
            ProjectSettings::new()
                .id(id)
                .webhook_url("http://127.0.0.1:9/webhooks/bondify")
                .faults([Fault::Unreachable])
        };
        let behind = Arc::new(AtomicU64::new(0));
        let clock = behind.clone();
        let readings = env::var("BONDIFY_TEST_READING").ok().map(|name| name.parse().unwrap());
        let emulator = readings
            .into_iter()
            .fold(Emulator::builder(), Builder::reading)
            .project(project(SHOP))
            .project(project(BLOG))
            .retries(0)
            .clock(move || SystemTime::now() - Duration::from_secs(clock.load(Ordering::SeqCst)))
            .start()
            .await
            .unwrap();
        let client = Client::builder().base_url(emulator.url()).build().unwrap();
        let developer = client.developer(emulator.developer_token()).unwrap();
        Self { emulator, developer, behind }
    }

    fn log_in(&self, project: &str, id: u64) -> Session {
        let session = self.emulator.generate(project).unwrap();
        let persona = Persona::new(id.to_string(), format!("Ada {id}"));
        self.emulator.confirm(&session.token, persona).unwrap()
    }

    fn log_in_earlier(&self, age: Duration) -> Session {
        self.behind.store(age.as_secs(), Ordering::SeqCst);
        let session = self.log_in(SHOP, 1);
        self.behind.store(0, Ordering::SeqCst);
        session
    }

    fn cancel(&self) -> Session {
        let session = self.emulator.generate(SHOP).unwrap();
        self.emulator.cancel(&session.token).unwrap()
    }

    /// Waits until Bondify has stopped retrying the session's delivery, and returns its request.
    async fn given_up(&self, session: &Session) -> WebhookRequest {
        let delivery = self.emulator.delivery_of(&session.token).await.unwrap();
        let secret = self.emulator.project(SHOP).unwrap().secret();
        WebhookRequest::signed(delivery.body.clone(), &secret)
    }

    /// Catch-up that handles events of any age.
    fn catch_up(&self, bondify: &Bondify) -> CatchUp {
        CatchUp::new(&self.developer, bondify, SHOP).min_age(Duration::ZERO)
    }

    /// Returns an instance of the server with this store.
    fn instance(&self, store: impl DedupeStore) -> Bondify {
        let secret = self.emulator.project(SHOP).unwrap().secret();
        Bondify::builder(secret).store(store).build().unwrap()
    }
}

/// The number of times that each session took effect.
#[derive(Clone, Default)]
struct Effects(Arc<watch::Sender<HashMap<String, u32>>>);

impl Effects {
    fn handler(
        &self,
    ) -> impl FnOnce(Event) -> BoxFuture<'static, io::Result<()>> + Clone + Send + Sync + use<>
    {
        let effects = self.0.clone();
        move |event| {
            let token = event.session_token().unwrap().to_owned();
            let effect = async move {
                tokio::task::yield_now().await;
                effects.send_modify(|effects| *effects.entry(token).or_default() += 1);
                Ok(())
            };
            effect.boxed()
        }
    }

    async fn reach(&self, count: usize) {
        self.0.subscribe().wait_for(|effects| effects.len() >= count).await.unwrap();
    }

    fn assert_each_once(&self, count: usize) {
        let effects = self.0.borrow();
        assert_eq!(effects.len(), count);
        assert!(effects.values().all(|&times| times == 1), "{effects:?}");
    }
}

fn counts(caught_up: CaughtUp) -> [u64; 4] {
    let CaughtUp { handled, known, failed, too_old, .. } = caught_up;
    [handled, known, failed, too_old]
}

#[tokio::test]
async fn after_an_outage_every_login_takes_effect_once() {
    within_a_minute(async {
        let outage = Outage::start().await;
        let logins: Vec<_> = (1..=20).map(|id| outage.log_in(SHOP, id)).collect();
        let cancelled = outage.cancel();
        outage.emulator.use_proof(&logins[0].token).unwrap();
        outage.emulator.generate(SHOP).unwrap();
        let expired = outage.emulator.generate(SHOP).unwrap();
        outage.emulator.expire(&expired.token).unwrap();
        outage.log_in(BLOG, 99);

        let (bondify, effects) = (outage.instance(MemoryStore::new()), Effects::default());
        let catch_up = outage.catch_up(&bondify);
        let run = || catch_up.run(effects.handler()).map(Result::unwrap);
        assert_eq!(counts(run().await), [21, 0, 0, 0]);
        assert_eq!(counts(run().await), [0, 21, 0, 0]);
        effects.assert_each_once(21);

        // The webhook of each login arrives later and is a duplicate.
        for session in logins.iter().chain([&cancelled]) {
            let request = outage.given_up(session).await;
            assert_eq!(request.receive_by(&bondify).await.err(), Some(Reply::Duplicate));
        }
    })
    .await;
}

#[tokio::test]
async fn events_of_a_webhook_or_a_poll_are_known() {
    within_a_minute(async {
        let outage = Outage::start().await;
        let [received, polled, missed] = [1, 2, 3].map(|id| outage.log_in(SHOP, id));
        let (bondify, effects) = (outage.instance(MemoryStore::new()), Effects::default());

        let request = outage.given_up(&received).await;
        let delivery = request.receive_by(&bondify).await.unwrap();
        let handler = effects.handler();
        let status = |handled: &io::Result<()>| if handled.is_ok() { 200 } else { 500 };
        delivery.run(handler, status).await.unwrap().unwrap();

        let client = Client::builder().base_url(outage.emulator.url()).build().unwrap();
        let settings = ProjectSettings::new().public_access(true);
        outage.emulator.update_project(SHOP, settings).unwrap();
        let status = client.sessions(SHOP).status(&polled.token).await.unwrap();
        let event = status.login().unwrap().event();
        assert_eq!(bondify.handle(event, effects.handler()).await.unwrap(), Handled::Now(()));

        let caught_up = outage.catch_up(&bondify).run(effects.handler()).await;
        assert_eq!(counts(caught_up.unwrap()), [1, 2, 0, 0]);
        effects.assert_each_once(3);
        assert!(effects.0.borrow().contains_key(&missed.token));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_with_one_store_catch_up_at_the_same_time() {
    within_a_minute(async {
        let outage = Outage::start().await;
        (1..=50).for_each(|id| drop(outage.log_in(SHOP, id)));
        let (store, effects) = (ProbeStore::new(MemoryStore::new()), Effects::default());
        let instances = [outage.instance(store.clone()), outage.instance(store)];
        let runs = instances.each_ref().map(|bondify| outage.catch_up(bondify));
        let runs = runs.each_ref().map(|catch_up| catch_up.run(effects.handler()));
        let caught_up: Vec<_> = join_all(runs).await.into_iter().map(Result::unwrap).collect();
        let [one, other] = caught_up[..] else { panic!() };
        assert_eq!(one.handled + other.handled, 50, "{one:?} {other:?}");
        assert_eq!(one.known + other.known, 50, "{one:?} {other:?}");
        effects.assert_each_once(50);
    })
    .await;
}

#[tokio::test]
async fn it_continues_after_failures_and_the_next_run_retries_them() {
    within_a_minute(async {
        let outage = Outage::start().await;
        (1..=20).for_each(|id| drop(outage.log_in(SHOP, id)));
        let bondify = outage.instance(MemoryStore::new());
        let odd_fails = async |event: Event| match event.user().unwrap().id().to_i64() {
            Some(5) => panic!("as told"),
            Some(id) if id % 2 == 1 => Err("as told"),
            _ => Ok(()),
        };
        let caught_up = outage.catch_up(&bondify).run(odd_fails).await;
        assert_eq!(counts(caught_up.unwrap()), [10, 0, 10, 0]);
        let effects = Effects::default();
        let caught_up = outage.catch_up(&bondify).run(effects.handler()).await;
        assert_eq!(counts(caught_up.unwrap()), [10, 10, 0, 0]);
        effects.assert_each_once(10);
    })
    .await;
}

#[tokio::test]
async fn a_window_above_the_tolerance_has_no_effect() {
    within_a_minute(async {
        let outage = Outage::start().await;
        for age in [30 * HOUR, 12 * HOUR, HOUR] {
            outage.log_in_earlier(age);
        }
        for (window, expected) in [(2 * HOUR, [1, 0, 0, 0]), (48 * HOUR, [2, 0, 0, 1])] {
            let (bondify, effects) = (outage.instance(MemoryStore::new()), Effects::default());
            let catch_up = outage.catch_up(&bondify).window(window);
            assert_eq!(counts(catch_up.run(effects.handler()).await.unwrap()), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn the_task_runs_at_the_start_and_again_until_drain_ends_it() {
    within_a_minute(async {
        let outage = Outage::start().await;
        let (bondify, effects) = (outage.instance(MemoryStore::new()), Effects::default());
        outage.log_in(SHOP, 1);
        let task = outage.catch_up(&bondify).every(CatchUp::MIN_EVERY).spawn(effects.handler());
        effects.reach(1).await;
        outage.log_in(SHOP, 2);
        effects.reach(2).await;
        effects.assert_each_once(2);
        bondify.drain(Duration::from_secs(10)).await.unwrap();
        timeout(Duration::from_secs(10), task).await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn drain_waits_for_the_handler_that_the_task_started() {
    within_a_minute(async {
        let outage = Outage::start().await;
        let bondify = outage.instance(MemoryStore::new());
        outage.log_in(SHOP, 1);
        let (started, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (starts, finishes, effects) = (started.clone(), finish.clone(), Effects::default());
        let effect = effects.handler();
        let handler = async move |event: Event| {
            starts.notify_one();
            finishes.notified().await;
            effect(event).await
        };
        let _task = outage.catch_up(&bondify).spawn(handler);
        started.notified().await;
        assert!(bondify.drain(Duration::from_millis(100)).await.is_err());
        finish.notify_one();
        bondify.drain(Duration::from_secs(10)).await.unwrap();
        effects.assert_each_once(1);
    })
    .await;
}

#[tokio::test]
async fn an_event_whose_webhook_may_still_be_retried_is_not_handled() {
    within_a_minute(async {
        let outage = Outage::start().await;
        outage.behind.store(14 * 60, Ordering::SeqCst);
        outage.log_in(SHOP, 1);
        // Its session was created 16 minutes ago, and the tap may be 10 minutes later.
        outage.behind.store(16 * 60, Ordering::SeqCst);
        outage.cancel();
        let (login, old) = (outage.log_in(SHOP, 2), 26 * 60);
        outage.behind.store(old, Ordering::SeqCst);
        outage.cancel();
        outage.behind.store(0, Ordering::SeqCst);
        let (bondify, effects) = (outage.instance(MemoryStore::new()), Effects::default());
        let catch_up = CatchUp::new(&outage.developer, &bondify, SHOP);
        let caught_up = catch_up.run(effects.handler()).await.unwrap();
        assert_eq!(counts(caught_up), [2, 0, 0, 0]);
        assert_eq!(caught_up.too_young, 2);
        assert!(effects.0.borrow().contains_key(&login.token));
        let caught_up = outage.catch_up(&bondify).run(effects.handler()).await.unwrap();
        assert_eq!((counts(caught_up), caught_up.too_young), ([2, 2, 0, 0], 0));
        effects.assert_each_once(4);
    })
    .await;
}

#[tokio::test]
async fn a_session_that_cannot_be_read_is_left_out() {
    within_a_minute(async {
        let outage = Outage::start().await;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let hour_ago = (now - HOUR).as_millis() as u64;
        let login = |token: &str| {
            json!({"session_token": token, "project_id": SHOP, "status": "confirmed",
                "telegram_id": "1", "telegram_name": "Hush", "created_at": hour_ago,
                "confirmed_at": hour_ago})
        };
        let with = |token: &str, changes: Value| {
            let mut login = login(token);
            login.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            login
        };
        let iso = |time: Duration| {
            let time = UtcDateTime::from_unix_timestamp(time.as_secs() as i64).unwrap();
            let (date, [h, m, s]) = (time.date(), [time.hour(), time.minute(), time.second()]);
            format!("{date} {h:02}:{m:02}:{s:02}")
        };
        let readable = [
            with("1", json!({"created_at": null})),
            with("2", json!({"created_at": ""})),
            with("3", json!({"created_at": iso(now - HOUR)})),
            with("4", json!({"created_at": iso(now - HOUR), "confirmed_at": null})),
            with("5", json!({"confirmed_at": hour_ago.to_string()})),
            with("6", json!({"confirmed_at": ""})),
            with("7", json!({"confirmed_at": -1})),
            with("8", json!({"telegram_name": null, "telegram_username": 7})),
            with("9", json!({"status": "cancelled", "telegram_id": null, "confirmed_at": null})),
            with("10", json!({"confirmed_at": hour_ago / 1000})),
        ];
        let of_no_interest = [
            with("11", json!({"session_token": null, "project_id": BLOG})),
            with("12", json!({"telegram_id": null, "project_id": BLOG})),
            with("13", json!({"status": "pending", "session_token": null})),
            with(
                "14",
                json!({"created_at": 1_500_000_000_000_u64, "confirmed_at": null,
                "telegram_id": null}),
            ),
        ];
        let unreadable = [
            (with("15", json!({"session_token": null})), "session_token"),
            (with("16", json!({"session_token": ""})), "session_token"),
            (with("17", json!({"project_id": null})), "project_id"),
            (with("18", json!({"telegram_id": null})), "telegram_id"),
            (with("19", json!({"status": null})), "status"),
            (with("20", json!({"created_at": null, "confirmed_at": "hush"})), "created_at"),
            (with("21", json!({"created_at": hour_ago / 1000, "confirmed_at": null})), "seconds"),
            (json!("hush"), "sessions["),
        ];
        for (odd, field) in &unreadable {
            let sessions = readable.iter().chain(&of_no_interest).chain([odd]);
            let list = json!({"sessions": sessions.collect::<Vec<_>>(), "has_more": true});
            let server = ScriptedServer::start([Answer::json(200, list)]).await;
            let client = Client::builder().base_url(server.url()).build().unwrap();
            let developer = client.developer("token").unwrap();
            let (bondify, effects) = (outage.instance(MemoryStore::new()), Effects::default());
            let (log, _guard) = Log::capture();
            let catch_up = CatchUp::new(&developer, &bondify, SHOP);
            let caught_up = catch_up.run(effects.handler()).await.unwrap();
            let log = log.text();
            assert_eq!(counts(caught_up), [readable.len() as u64, 0, 0, 0], "{odd} {log}");
            assert_eq!((caught_up.unreadable, caught_up.has_more), (1, true), "{odd} {log}");
            assert!(log.contains(field) && log.contains("sessions[14]"), "{field}: {log}");
            assert!(log.contains("more sessions than it listed"), "{log}");
            assert!(!log.to_lowercase().contains("hush"), "{log}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_run_that_cannot_list_is_repeated() {
    within_a_minute(async {
        let outage = Outage::start().await;
        let created_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let list = json!({"sessions": [{"session_token": "s", "project_id": SHOP,
            "status": "confirmed", "telegram_id": "1", "telegram_name": "Ada",
            "created_at": created_at.as_millis() as u64}]});
        let down = Answer::json(503, json!({}));
        let server = ScriptedServer::start([down, Answer::none(), Answer::json(200, list)]).await;
        let client = Client::builder().base_url(server.url()).build().unwrap();
        let developer = client.developer("token").unwrap();
        let (bondify, effects) = (outage.instance(MemoryStore::new()), Effects::default());
        let catch_up = CatchUp::new(&developer, &bondify, SHOP).min_age(Duration::ZERO);
        let catch_up = catch_up.every(CatchUp::MIN_EVERY);
        let _task = catch_up.spawn(effects.handler());
        effects.reach(1).await;
        assert!(server.requests().len() >= 3);
    })
    .await;
}

/// A store that survives a restart.
struct Kept(MemoryStore);

#[async_trait]
impl DedupeStore for Kept {
    async fn claim(&self, key: &EventKey, lease: Duration) -> Result<Claimed, StoreError> {
        self.0.claim(key, lease).await
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        self.0.renew(key, token, lease).await
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        self.0.complete(key, token, retention).await
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        self.0.release(key, token).await
    }
}

/// The log lines of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_store_that_forgets_on_a_restart_causes_a_warning() {
    within_a_minute(async {
        let outage = Outage::start().await;
        outage.log_in(SHOP, 424_242);
        let secret = outage.emulator.project(SHOP).unwrap().secret();
        let builder = || Bondify::builder(secret.clone());
        for (bondify, warned) in [
            (builder().build().unwrap(), true),
            (builder().verify_only().build().unwrap(), true),
            (builder().store(ProbeStore::new(MemoryStore::new())).build().unwrap(), true),
            (builder().store(Arc::new(MemoryStore::new())).build().unwrap(), true),
            (builder().store(Kept(MemoryStore::new())).build().unwrap(), false),
        ] {
            let (log, _guard) = Log::capture();
            let handler = async |_: Event| Err::<(), _>("as told");
            outage.catch_up(&bondify).run(handler).await.unwrap();
            let log = log.text();
            assert_eq!(log.contains("forgets on a restart"), warned, "{log}");
            assert!(log.contains("the event was not handled"), "{log}");
            assert!(!log.contains("424242") && !log.contains("Ada"), "{log}");
        }
    })
    .await;
}
