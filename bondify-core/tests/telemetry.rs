//! What operators get to see, and what nobody does.

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
    /// Captures everything that is logged on this thread from now on.
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

    /// The line that closes the only delivery's span.
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
    let handler = async |event: Event| {
        tracing::info!(?event, "in the handler");
        assert!(status != 0, "as told");
        status
    };
    delivery.run(handler, |&status| status).await
}

#[tokio::test]
async fn one_span_per_delivery_tells_event_outcome_and_time() {
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
            assert!(log.text().contains("in the handler"), "{}", log.text());
        }
    }
}

#[tokio::test]
async fn what_anyone_can_cause_is_no_more_than_debug() {
    let bondify = Bondify::builder(secret()).body_limit(1000).build().unwrap();
    let large = Payload::confirmed().field("padding", "x".repeat(1000)).signed_with(&secret());
    let untyped = request().without("content-type");
    for request in [request().tampered(), request().signature_as(|_| "x".into()), large, untyped] {
        let (log, _guard) = Log::capture();
        handle(&bondify, &request, 200).await.unwrap_err();
        for level in ["WARN", "ERROR"] {
            assert!(!log.text().contains(level), "{}", log.text());
        }
        assert!(log.text().contains("DEBUG"), "{}", log.text());
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
async fn a_handler_that_outlasts_bondify_is_warned_about() {
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
async fn a_handler_that_no_delivery_waits_for_may_take_its_time() {
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
async fn the_span_names_the_secret_so_that_an_old_one_is_seen_to_fall_silent() {
    let named = |text, name: &str| Secret::new(text).unwrap().named(name);
    let (old, new) = (named("whsec_old", "2026-10"), named("whsec_new", "2026-11"));
    let bondify = Bondify::builder(old.clone()).build().unwrap();
    bondify.rotate(new.clone(), [old.clone()]);
    // A retry of an older delivery, and then new ones only.
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
    let mut counts: Vec<_> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|row| {
            let (key, .., value) = row;
            let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
            assert_eq!(key.key().name(), "bondify_deliveries_total");
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
