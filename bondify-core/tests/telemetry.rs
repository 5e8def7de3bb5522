//! Logs and metrics, and the data that they must not contain.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io,
    sync::{Arc, Mutex},
};

use bondify_core::{Bondify, Event, MemoryStore, Reply, Secret};
use bondify_testkit::{Payload, ProbeStore, WebhookRequest};
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

const SECRET: &str = "whsec_hush_secret";
const PERSONAL: [&str; 6] =
    ["hush_secret", "hush_token", "424242", "Hush Name", "hush_username", "+49hush"];

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Captures the log of this thread from now on. Tests that read no log capture it too: a call site that a
    /// thread without a subscriber meets first can stay disabled for all threads.
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        (log, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The line that is logged when the only delivery's span closes.
    fn delivery(&self) -> String {
        let text = self.text();
        let closed = text.lines().filter(|line| line.contains("close")).collect::<Vec<_>>();
        let [line] = closed[..] else { panic!("{text}") };
        line.to_owned()
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

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn secret() -> Secret {
    Secret::new(SECRET).unwrap()
}

fn request() -> WebhookRequest {
    Payload::confirmed()
        .session_token("sess_hush_token")
        .telegram_id("424242")
        .telegram_name("Hush Name")
        .telegram_username(Some("hush_username"))
        .telegram_phone("+49hush")
        .signed_with(&secret())
}

async fn handle(bondify: &Bondify, request: &WebhookRequest, status: u16) -> Result<u16, Reply> {
    let delivery = request.receive_by(bondify).await?;
    let handler = async move |event: Event| {
        tracing::info!(?event, "in the handler");
        assert!(status != 0, "as told");
        status
    };
    delivery.run_to_completion(handler, |&status| status).await
}

#[tokio::test(start_paused = true)]
async fn a_running_handler_that_outlasts_bondifys_time_out_is_logged_once() {
    let (log, _guard) = Log::capture();
    let bondify = Bondify::builder(secret()).build().unwrap();
    let delivery = request().receive_by(&bondify).await.unwrap();
    let handler = async |_: Event| {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        200
    };
    assert_eq!(delivery.run(handler, |&status| status).await, Ok(200));
    let log = log.text();
    assert_eq!(log.matches("the handler is still running").count(), 1, "{log}");
}

#[tokio::test]
async fn each_delivery_has_one_span_with_event_outcome_and_time() {
    let bondify = Bondify::builder(secret()).build().unwrap();
    let outcomes = [
        (request(), 0, "HANDLER_PANICKED"),
        (request(), 500, "REJECTED"),
        (request(), 200, "ACCEPTED"),
        (request(), 200, "DUPLICATE"),
    ];
    for (request, status, outcome) in outcomes {
        let (log, _guard) = Log::capture();
        let _ = handle(&bondify, &request, status).await;
        let line = log.delivery();
        for part in [
            "bondify.delivery",
            "event=\"auth.confirmed\"",
            &format!("outcome=\"{outcome}\""),
            "elapsed_ms=",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        if status != 200 || outcome == "ACCEPTED" {
            let text = log.text();
            let line = text.lines().find(|line| line.contains("in the handler")).unwrap();
            assert!(line.contains("bondify.delivery{"), "it runs in the span: {text}");
        }
    }
}

#[tokio::test]
async fn requests_that_anyone_can_send_are_logged_at_debug_at_most() {
    let bondify = Bondify::builder(secret()).body_limit(1000).build().unwrap();
    let large = Payload::confirmed().field("padding", "x".repeat(1000)).signed_with(&secret());
    let untyped = request().without("content-type");
    for request in [request().tampered(), request().signature_as(|_| "x".into()), large, untyped] {
        let (log, _guard) = Log::capture();
        handle(&bondify, &request, 200).await.unwrap_err();
        let is_alarming = |line: &&str| line.contains("WARN") || line.contains("ERROR");
        let text = log.text();
        let alarming = text.lines().filter(is_alarming);
        // The tests of this process share the warning, and any one of them may log it.
        let alarming = alarming.filter(|line| !line.contains("deliveries refused"));
        assert_eq!(alarming.collect::<Vec<_>>(), [""; 0]);
        assert!(text.contains("DEBUG"), "{text}");
    }
}

#[tokio::test]
async fn a_settled_delivery_is_one_line_at_debug() {
    let bondify = Bondify::builder(secret()).build().unwrap();
    for (status, outcome) in [(0, "HANDLER_PANICKED"), (500, "REJECTED"), (200, "ACCEPTED")] {
        let (log, _guard) = Log::capture();
        let _ = handle(&bondify, &request(), status).await;
        let text = log.text();
        let settled: Vec<_> = text.lines().filter(|line| line.contains("settled")).collect();
        let [line] = settled[..] else { panic!("{text}") };
        assert!(line.contains("DEBUG") && line.contains("delivery settled"), "{line}");
        assert!(line.contains(&format!("outcome=\"{outcome}\"")), "{line}");
    }
}

#[tokio::test]
async fn nothing_personal_is_logged() {
    let (log, _guard) = Log::capture();
    let store = ProbeStore::new(MemoryStore::new());
    let bondify = Bondify::builder(secret()).store(store.clone()).build().unwrap();
    let request = request();
    for status in [0, 500, 200, 200] {
        let _ = handle(&bondify, &request, status).await;
    }
    let _ = handle(&bondify, &request.clone().tampered(), 200).await;
    let unparsable = WebhookRequest::signed("{\"telegram_name\":\"Hush Name\"}", &secret());
    let _ = handle(&bondify, &unparsable, 200).await;
    store.set_down(true);
    let _ = handle(&bondify, &request, 200).await;
    tracing::info!(?bondify, "as debug output");

    let text = log.text();
    assert!(text.contains("implementation details"), "operators do see the store's error: {text}");
    for personal in PERSONAL {
        assert!(!text.contains(personal), "{personal} is in {text}");
    }
    assert!(!text.contains(request.signature()), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_slower_than_bondifys_time_out_is_warned_about() {
    let bondify = Bondify::builder(secret()).build().unwrap();
    let (log, _guard) = Log::capture();
    for (seconds, warned) in [(9, false), (11, true)] {
        let request = Payload::confirmed().signed_with(&secret());
        let delivery = request.receive_by(&bondify).await.unwrap();
        let handler = async |_: Event| {
            tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
            200
        };
        delivery.run(handler, |&status| status).await.unwrap();
        assert_eq!(log.text().contains("WARN"), warned, "{}", log.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_without_a_delivery_is_not_warned_about() {
    let bondify = Bondify::builder(secret()).build().unwrap();
    let (log, _guard) = Log::capture();
    let event = request().verified_by(&secret()).unwrap();
    let handler = async |_: Event| {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        Ok::<_, ()>(())
    };
    bondify.handle(event, handler).await.unwrap();
    assert!(log.delivery().contains("source=\"handle\""), "{}", log.text());
    assert!(!log.text().contains("WARN"), "{}", log.text());
}

#[tokio::test]
async fn the_span_names_the_secret_that_signed() {
    let named = |text, name: &str| Secret::new(text).unwrap().named(name);
    let (old, new) = (named("whsec_old", "2026-10"), named("whsec_new", "2026-11"));
    let bondify = Bondify::builder(old.clone()).build().unwrap();
    bondify.rotate(new.clone(), [old.clone()]);
    // First a retry of an older delivery, then new deliveries only.
    for (secret, name) in [(&old, "2026-10"), (&new, "2026-11"), (&new, "2026-11")] {
        let (log, _guard) = Log::capture();
        let sent = Payload::confirmed().signed_with(secret);
        handle(&bondify, &sent, 200).await.unwrap();
        let line = log.delivery();
        assert!(line.contains(&format!("signed_by=\"{name}\"")), "{line}");
    }
    let (log, _guard) = Log::capture();
    let bondify = Bondify::builder(secret()).build().unwrap();
    handle(&bondify, &request(), 200).await.unwrap();
    assert!(!log.text().contains("signed_by"), "{}", log.text());
}

#[cfg(feature = "metrics")]
#[test]
fn deliveries_are_counted_by_outcome() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    let _log = Log::capture();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bondify = Bondify::builder(secret()).build().unwrap();
            for request in [request(), request(), request().tampered()] {
                let _ = handle(&bondify, &request, 200).await;
            }
            let event = request().verified_by(&secret()).unwrap();
            bondify.handle(event, async |_| Ok::<_, ()>(())).await.unwrap();
            let named = secret().named("2026-11");
            bondify.rotate(named.clone(), []);
            let sent = Payload::cancelled().signed_with(&named);
            handle(&bondify, &sent, 200).await.unwrap();
        });
    });
    let is_delivery =
        |key: &metrics_util::CompositeKey| key.key().name() == "bondify_deliveries_total";
    let mut counts: Vec<_> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .filter(|(key, _, _, value)| is_delivery(key) && *value != DebugValue::Counter(0))
        .map(|row| {
            let (key, .., value) = row;
            let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
            (labels, value)
        })
        .collect();
    counts.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        &["handle", "auth.confirmed", "DUPLICATE"][..],
        &["webhook", "auth.cancelled", "ACCEPTED", "2026-11"],
        &["webhook", "auth.confirmed", "ACCEPTED"],
        &["webhook", "auth.confirmed", "DUPLICATE"],
        &["webhook", "none", "INVALID_SIGNATURE"],
    ];
    let owned = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect();
    assert_eq!(counts, expected.map(|labels| (owned(labels), DebugValue::Counter(1))));
}

/// The series that exist before `run`, and those that exist after it.
#[cfg(feature = "metrics")]
fn series(run: impl Future<Output = ()>) -> [std::collections::BTreeSet<String>; 2] {
    use metrics_util::debugging::DebuggingRecorder;

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let series = || {
        let rows = snapshotter.snapshot().into_vec().into_iter();
        rows.map(|(key, ..)| key.key().to_string()).collect()
    };
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bondify = Bondify::builder(secret().named("2026-11")).build().unwrap();
            bondify.rotate(secret(), [Secret::new("whsec_old").unwrap().named("2026-10")]);
            let before = series();
            run.await;
            [before, series()]
        })
    })
}

#[cfg(feature = "metrics")]
#[test]
fn every_series_exists_before_its_first_event() {
    use bondify_core::{HandleError, Projects};
    use std::time::{Duration, SystemTime};

    let _log = Log::capture();
    let named = || secret().named("2026-11");
    let old = || Secret::new("whsec_old").unwrap().named("2026-10");
    let [before, after] = series(async {
        let store = ProbeStore::new(MemoryStore::new());
        let build = || Bondify::builder(secret()).store(store.clone()).wait(Duration::ZERO);
        let bondify = build().body_limit(1000).old_secret(old()).build().unwrap();
        let by_name = build().lease(Duration::from_secs(60)).build().unwrap();
        by_name.rotate(named(), []);
        // Refused before there is an event.
        let refused = [
            request().without("content-type"),
            request().without("x-bondify-signature"),
            request().tampered(),
            WebhookRequest::signed("{}", &secret()),
            Payload::confirmed().field("padding", "x".repeat(1000)).signed_with(&secret()),
            Payload::confirmed().at(SystemTime::UNIX_EPOCH).signed_with(&secret()),
        ];
        for request in refused {
            handle(&bondify, &request, 200).await.unwrap_err();
        }
        let nobody = Projects::new(&bondify, |_| async { Err(Reply::ProjectNotFound) });
        nobody.choose(&request()).await.unwrap_err();
        // Every outcome of every event, of every secret, by both ways.
        for (bondify, signer) in [(&bondify, secret()), (&bondify, old()), (&by_name, named())] {
            for payload in
                [Payload::confirmed(), Payload::cancelled(), Payload::unknown("auth.renamed")]
            {
                let request = payload.signed_with(&signer);
                for status in [0, 500] {
                    let _ = handle(bondify, &request, status).await;
                }
                let held = request.receive_by(bondify).await.unwrap();
                assert_eq!(handle(bondify, &request, 200).await, Err(Reply::InFlight));
                let event = request.verified_by(&signer).unwrap();
                let waited = bondify.handle(event.clone(), async |_| Ok::<_, ()>(())).await;
                assert!(matches!(waited, Err(HandleError::InFlight)));
                drop(held);
                store.set_down(true);
                let _ = handle(bondify, &request, 200).await;
                let _ = bondify.handle(event.clone(), async |_| Ok::<_, ()>(())).await;
                store.set_down(false);
                for result in [Err(()), Ok(()), Ok(())] {
                    let _ = bondify.handle(event.clone(), async move |_| result).await;
                }
                handle(bondify, &request, 200).await.unwrap_err();
                let old = payload.at(SystemTime::UNIX_EPOCH).signed_with(&signer);
                let old = Event::from_trusted(old.body().clone()).unwrap();
                let _ = bondify.handle(old, async |_| Ok::<_, ()>(())).await;
            }
        }
    });
    let born: Vec<_> = after.difference(&before).collect();
    assert!(born.is_empty(), "{born:#?}");
}

#[cfg(feature = "metrics")]
#[test]
fn every_metric_of_the_readme_is_described_and_recorded() {
    use std::{collections::BTreeMap, time::Duration};

    use bondify_testkit::Call;
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    use tokio::time::sleep;

    type Snapshot = BTreeMap<(String, String), (String, DebugValue)>;

    let _log = Log::capture();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // The changes since the previous snapshot.
    let snapshot = || -> Snapshot {
        let rows = snapshotter.snapshot().into_vec().into_iter();
        let described = rows.map(|(key, _, help, value)| {
            let key = key.key();
            let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
            let help = help.expect("it is described").to_string();
            ((key.name().to_owned(), labels.collect()), (help, value))
        });
        described.collect()
    };
    let change =
        |snapshot: &Snapshot, name: &str| match snapshot.get(&(name.to_owned(), String::new())) {
            Some((_, DebugValue::Gauge(value))) => value.into_inner(),
            Some((_, DebugValue::Counter(value))) => *value as f64,
            other => panic!("{name} is {other:?}"),
        };
    let gauges = ["bondify_handlers_running", "bondify_duplicates_waiting"];
    let live = async {
        let store = ProbeStore::new(MemoryStore::new());
        let bondify = Bondify::builder(secret()).store(store.clone()).build().unwrap();
        let request = request();
        let delivery = request.receive_by(&bondify).await.unwrap();
        let probe = store.clone();
        let handler = async move |_: Event| {
            sleep(Duration::from_secs(5)).await; // a renewal is due after a third of the lease
            probe.set_down(true);
            200
        };
        let running = delivery.run(handler, |&status| status);
        let observer = async {
            sleep(Duration::from_secs(2)).await;
            let running = snapshot();
            assert_eq!(gauges.map(|gauge| change(&running, gauge)), [1.0, 1.0]);
            sleep(Duration::from_millis(3050)).await; // the first completion failed
            store.set_down(false);
            store.until(1, |call| *call == Call::Complete(true)).await;
        };
        let duplicate = handle(&bondify, &request, 200);
        let (handled, duplicate, ()) = tokio::join!(running, duplicate, observer);
        assert_eq!((handled, duplicate), (Ok(200), Err(Reply::Duplicate)));
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(live));

    let recorded = snapshot();
    assert_eq!(gauges.map(|gauge| change(&recorded, gauge)), [-1.0, -1.0]);
    assert!(change(&recorded, "bondify_completions_retried_total") > 0.0);
    let series: Vec<_> = recorded.keys().map(|(name, labels)| format!("{name}{labels}")).collect();
    for expected in [
        "bondify_handler_seconds source=webhook event=auth.confirmed",
        "bondify_lease_renewals_total result=renewed",
        "bondify_store_call_seconds operation=claim result=ok",
        "bondify_store_call_seconds operation=complete result=error",
        "bondify_store_call_seconds operation=renew result=ok",
    ] {
        assert!(series.iter().any(|series| series == expected), "{expected}: {series:#?}");
    }
    let readme = include_str!("../README.md");
    let rows: Vec<_> = readme.lines().filter(|line| line.starts_with("| `bondify_")).collect();
    let names: std::collections::BTreeSet<_> = recorded.keys().map(|(name, _)| name).collect();
    assert_eq!(rows.len(), names.len());
    for ((name, _), (help, _)) in &recorded {
        let row = rows.iter().find(|row| row.starts_with(&format!("| `{name}` |")));
        assert!(row.is_some_and(|row| row.ends_with(&format!("| {help} |"))), "{name}: {help}");
    }
}
