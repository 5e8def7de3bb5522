//! Each alert fires at its fault, and no other one does: a server has the fault while its metrics are
//! recorded once a minute, and Prometheus's `promtool` evaluates the alerts on the recording.
//!
//! The minutes are those of the recording. Only faults that consist of waiting take time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs, io,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use bondify_testkit::{Call, Payload, Step, WebhookRequest, skipped, within_a_minute};
use tokio::time::sleep;

use crate::server::{PATH, SLOW, SMALL, Server, confirmed, secret};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/prometheus");
const ALERTS: &str = include_str!("../prometheus/alerts.yml");

const RETRIED: &str = "bondify_completions_retried_total";
const LOST: &str = "bondify_lease_renewals_total{result=\"lost\"}";

/// The minutes for which most faults last.
const MINUTES: usize = 20;

/// The minutes without a login after which one is missed.
const LONG: usize = 75;

#[test]
fn prometheus_accepts_the_configuration() {
    if let Some(output) = promtool(&["check", "config", "prometheus.yml"], Path::new(FILES)) {
        assert!(output.status.success(), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_fires_at_its_fault_and_at_no_other() {
    if promtool(&["--version"], Path::new(FILES)).is_none() {
        return;
    }
    let server = &Server::start().await;
    let mut recordings = Vec::new();
    let mut expect = |fault, alerts: &'static [&str], recording: Recording| {
        recordings.push((fault, alerts, recording));
    };
    // The first failure of a process counts too: its series start at zero.
    expect("one 503 among many logins", &["BondifyStoreUnavailable"], one_503(server).await);
    expect("nothing", &[], healthy(server).await);
    expect("one refusal among many logins", &[], one_refusal(server).await);
    let refused = &["BondifyDeliveriesRefused"];
    let unsigned = confirmed().without("x-bondify-signature");
    expect("no signature", refused, refusals(server, 401, || unsigned.clone()).await);
    let stale = || Payload::confirmed().aged(Duration::from_secs(100_000)).signed_with(&secret());
    expect("stale", refused, refusals(server, 401, stale).await);
    let both = &["BondifyDeliveriesRefused", "BondifySignaturesRefused"];
    expect("a wrong secret", both, refusals(server, 401, || confirmed().tampered()).await);
    expect("store down", &["BondifyStoreUnavailable"], store_is_down(server).await);
    expect("rejected", &["BondifyHandlerFails"], handlers_end(server, &Step::Answer(503)).await);
    expect("panics", &["BondifyHandlerFails"], handlers_end(server, &Step::Panic).await);
    expect("every handler hangs", &["BondifyHandlersHang"], handlers_hang(server).await);
    expect("slow handlers", &["BondifyHandlerTooSlow"], handlers_are_slow(server).await);
    expect("slow store", &["BondifyStoreSlow"], store_is_slow(server).await);
    expect("completions fail", &["BondifyCompletionsFail"], completions_fail(server).await);
    expect("a lease is lost", &["BondifyLeasesLost"], a_lease_is_lost(server).await);
    expect("full store", &["BondifyMemoryStoreFull"], store_is_full(server).await);
    expect("no delivery arrives", &["BondifyNoLogins"], no_delivery(server).await);
    expect("the server is dead", &["BondifyNoLogins"], dead(server).await);

    let expected: BTreeSet<_> = recordings.iter().flat_map(|(_, alerts, _)| *alerts).collect();
    let names = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    assert_eq!(expected.into_iter().copied().collect::<Vec<_>>(), {
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    });
    let wrong = recordings.iter().filter_map(|(fault, alerts, recording)| {
        recording.evaluate(alerts).err().map(|said| format!("{fault}: {said}"))
    });
    assert_eq!(wrong.collect::<Vec<_>>().join("\n"), "");
}

async fn healthy(server: &Server) -> Recording {
    let mut recording = Recording::start(server).await;
    for _ in 0..MINUTES {
        assert_eq!(server.post(&confirmed()).await, 200);
        recording.minute(server).await;
    }
    recording
}

async fn one_503(server: &Server) -> Recording {
    let mut recording = Recording::start(server).await;
    for minute in 0..MINUTES {
        server.store.set_down(minute == 5);
        let expected = if minute == 5 { 503 } else { 200 };
        assert_eq!(server.post(&confirmed()).await, expected);
        recording.minute(server).await;
    }
    recording
}

async fn one_refusal(server: &Server) -> Recording {
    let mut recording = Recording::start(server).await;
    for minute in 0..MINUTES {
        assert_eq!(server.post(&confirmed()).await, 200);
        if minute == 5 {
            assert_eq!(server.post(&confirmed().tampered()).await, 401);
        }
        recording.minute(server).await;
    }
    recording
}

async fn refusals(server: &Server, status: u16, request: impl Fn() -> WebhookRequest) -> Recording {
    let mut recording = Recording::start(server).await;
    for _ in 0..MINUTES {
        assert_eq!(server.post(&request()).await, status);
        recording.minute(server).await;
    }
    recording
}

async fn store_is_down(server: &Server) -> Recording {
    server.store.set_down(true);
    let recording = refusals(server, 503, confirmed).await;
    server.store.set_down(false);
    recording
}

async fn handlers_end(server: &Server, step: &Step) -> Recording {
    let mut recording = Recording::start(server).await;
    for _ in 0..MINUTES {
        server.script.then([step.clone()]);
        assert!(server.post(&confirmed()).await >= 500);
        recording.minute(server).await;
    }
    recording
}

async fn handlers_hang(server: &Server) -> Recording {
    let mut recording = Recording::start(server).await;
    let started = server.script.progress().started.len();
    server.script.then([Step::held(200), Step::held(200)]);
    let mut held = server.start_posts(PATH, 2).await;
    server.script.started(started + 2).await;
    for _ in 0..MINUTES {
        recording.minute(server).await;
    }
    server.script.resume(2);
    for connection in &mut held {
        assert_eq!(connection.response().await.unwrap().status, 200);
    }
    recording
}

async fn handlers_are_slow(server: &Server) -> Recording {
    let started = server.script.progress().started.len();
    server.script.then(vec![Step::held(200); MINUTES]);
    let mut held = server.start_posts(PATH, MINUTES).await;
    server.script.started(started + MINUTES).await;
    sleep(Duration::from_millis(5100)).await;
    let mut recording = Recording::start(server).await;
    for finished in 1..=MINUTES {
        let all = server.script.progress().finished + 1;
        server.script.resume(1);
        server.script.finished(all).await;
        if finished == MINUTES {
            for connection in &mut held {
                assert_eq!(connection.response().await.unwrap().status, 200);
            }
        }
        recording.minute(server).await;
    }
    recording
}

async fn store_is_slow(server: &Server) -> Recording {
    let mut recording = Recording::start(server).await;
    let times = (0..MINUTES as u64).map(|post| Duration::from_millis(510 + 10 * post));
    server.slow.next_claims_take(times);
    for mut connection in server.start_posts(SLOW, MINUTES).await {
        assert_eq!(connection.response().await.unwrap().status, 200);
        recording.minute(server).await;
    }
    recording
}

/// The store does not answer while a handler ends.
async fn completions_fail(server: &Server) -> Recording {
    let mut recording = Recording::start(server).await;
    for _ in 0..MINUTES {
        let started = server.script.progress().started.len();
        server.script.then([Step::held(200)]);
        let mut held = server.start_posts(PATH, 1).await;
        server.script.started(started + 1).await;
        let retried = sum(&server.metrics().await, RETRIED);
        let is_completion = |call: &Call| *call == Call::Complete(true);
        let completed = server.store.calls().iter().filter(|call| is_completion(call)).count();
        server.store.set_down(true);
        server.script.resume(1);
        rises(server, RETRIED, retried).await;
        server.store.set_down(false);
        server.store.until(completed + 1, is_completion).await; // no retry is counted any more
        assert_eq!(held[0].response().await.unwrap().status, 200);
        recording.minute(server).await;
    }
    recording
}

/// The store does not answer for longer than a lease.
async fn a_lease_is_lost(server: &Server) -> Recording {
    let mut recording = Recording::start(server).await;
    let started = server.script.progress().started.len();
    server.script.then([Step::held(200)]);
    let mut held = server.start_posts(PATH, 1).await;
    server.script.started(started + 1).await;
    server.store.set_down(true);
    sleep(Duration::from_millis(5500)).await;
    let lost = sum(&server.metrics().await, LOST);
    server.store.set_down(false);
    rises(server, LOST, lost).await;
    server.script.resume(1);
    assert_eq!(held[0].response().await.unwrap().status, 200);
    for _ in 0..MINUTES {
        assert_eq!(server.post(&confirmed()).await, 200);
        recording.minute(server).await;
    }
    recording
}

async fn store_is_full(server: &Server) -> Recording {
    let mut recording = Recording::start(server).await;
    for _ in 0..MINUTES {
        assert_eq!(server.post_to(SMALL, &confirmed()).await, 200);
        recording.minute(server).await;
    }
    recording
}

async fn no_delivery(server: &Server) -> Recording {
    let mut recording = Recording::start(server).await;
    for _ in 0..LONG {
        recording.minute(server).await;
    }
    recording
}

async fn dead(server: &Server) -> Recording {
    let mut recording = Recording::start(server).await;
    for _ in 0..LONG {
        recording.samples.push(BTreeMap::new());
    }
    recording
}

/// Waits until the series is above that value.
async fn rises(server: &Server, series: &str, value: f64) {
    within_a_minute(async { while sum(&server.metrics().await, series) <= value {} }).await;
}

fn sum(metrics: &str, name: &str) -> f64 {
    let samples = samples(metrics);
    samples.iter().filter(|(series, _)| series.starts_with(name)).map(|(_, value)| value).sum()
}

/// The value of each series.
fn samples(metrics: &str) -> BTreeMap<String, f64> {
    let lines = metrics.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
    samples.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

/// The series of a server, as Prometheus would have them: a sample each minute.
struct Recording {
    samples: Vec<BTreeMap<String, f64>>,
}

impl Recording {
    async fn start(server: &Server) -> Self {
        let mut recording = Self { samples: Vec::new() };
        recording.minute(server).await;
        recording
    }

    async fn minute(&mut self, server: &Server) {
        let metrics = within_a_minute(server.metrics()).await;
        self.samples.push(samples(&metrics));
    }

    /// An error if not exactly these alerts fire at some minute.
    fn evaluate(&self, alerts: &[&str]) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("test.yml"), self.test(alerts)).unwrap();
        let output = promtool(&["test", "rules", "test.yml"], folder.path()).unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    /// The file of a test for `promtool`.
    fn test(&self, alerts: &[&str]) -> String {
        let names: BTreeSet<_> = self.samples.iter().flat_map(|minute| minute.keys()).collect();
        let mut file = format!(
            "rule_files: [{FILES}/alerts.yml]\nevaluation_interval: 1m\n\
             tests:\n- interval: 1m\n  input_series:\n"
        );
        for name in names {
            let values = self.samples.iter().map(|minute| match minute.get(name) {
                Some(value) => value.to_string(),
                None => "_".to_owned(),
            });
            let values = values.collect::<Vec<_>>().join(" ");
            writeln!(file, "  - {{series: '{}', values: '{values}'}}", scraped(name)).unwrap();
        }
        let end = self.samples.len() - 1;
        write!(
            file,
            "  promql_expr_test:\n  \
             - expr: group by (alertname) (max_over_time(ALERTS{{alertstate=\"firing\"}}[{end}m]))\n    \
             eval_time: {end}m\n    exp_samples:\n"
        )
        .unwrap();
        for alert in alerts {
            writeln!(file, "    - {{labels: '{{alertname=\"{alert}\"}}', value: 1}}").unwrap();
        }
        file
    }
}

/// The series with the label that Prometheus adds.
fn scraped(series: &str) -> String {
    match series.strip_suffix('}') {
        Some(labelled) => format!("{labelled},instance=\"127.0.0.1:9464\"}}"),
        None => format!("{series}{{instance=\"127.0.0.1:9464\"}}"),
    }
}

/// Runs Prometheus's `promtool`. `None` if it is not installed, which is [`skipped`].
fn promtool(arguments: &[&str], folder: &Path) -> Option<Output> {
    match Command::new("promtool").args(arguments).current_dir(folder).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            skipped("promtool", "is not installed");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
