//! Every series that the dashboard and the alerts name exists after each outcome has happened once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use bondify_axum::Reply;
use bondify_testkit::{Call, Payload, Step, WebhookRequest, within_a_minute};
use example_observability::Telemetry;
use serde_json::Value;

use crate::server::{PATH, Server, confirmed, secret, serve};

const DASHBOARD: &str = include_str!("../grafana/dashboard.json");
const ALERTS: &str = include_str!("../prometheus/alerts.yml");

#[tokio::test(flavor = "multi_thread")]
async fn every_series_exists_after_every_outcome() {
    within_a_minute(async {
        let spans = Spans::default();
        let collector = Router::new().route("/v1/traces", post(collect)).with_state(spans.clone());
        let collector = format!("http://{}", serve(collector).await);
        let telemetry = Telemetry::install(Some(&collector)).unwrap();
        let server = Server::start().await;
        server.every_outcome().await;

        let metrics = server.metrics().await;
        assert_every_outcome_is_counted(&metrics);
        let _valid: Value = serde_json::from_str(DASHBOARD).unwrap();
        for file in [DASHBOARD, ALERTS] {
            assert_names_exist(file, &metrics);
        }

        tokio::task::spawn_blocking(|| telemetry.flush()).await.unwrap().unwrap();
        let spans = String::from_utf8_lossy(&spans.0.lock().unwrap()).into_owned();
        for text in ["bondify.delivery", "outcome", "ACCEPTED", "DUPLICATE"] {
            assert!(spans.contains(text), "{text}");
        }
    })
    .await;
}

/// The outcomes without a reply, and all replies to deliveries. Replies to a misconfiguration, to an unknown
/// project and to proofs are left out.
fn assert_every_outcome_is_counted(metrics: &str) {
    let replies = Reply::ALL.iter().take_while(|&&reply| reply != Reply::Misconfigured);
    let replies = replies.filter(|reply| **reply != Reply::ProjectNotFound);
    for outcome in
        ["ACCEPTED", "REJECTED", "ABANDONED"].into_iter().chain(replies.map(|r| r.code()))
    {
        assert!(metrics.contains(&format!("outcome=\"{outcome}\"")), "{outcome}: {metrics}");
    }
}

/// The metrics and the outcomes that a file names.
fn assert_names_exist(file: &str, metrics: &str) {
    let words = || file.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let series: BTreeSet<_> = words().filter(|word| word.starts_with("bondify_")).collect();
    let outcomes: BTreeSet<_> = words().filter(|word| word.len() > 3 && is_code(word)).collect();
    assert!(!series.is_empty() && !outcomes.is_empty());
    for name in series {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name}: {metrics}");
    }
    for outcome in outcomes {
        assert!(metrics.contains(&format!("\"{outcome}\"")), "{outcome}: {metrics}");
    }
}

fn is_code(word: &str) -> bool {
    word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
}

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<u8>>>);

async fn collect(State(Spans(spans)): State<Spans>, body: Bytes) {
    spans.lock().unwrap().extend(&body);
}

impl Server {
    async fn every_outcome(&self) {
        let accepted = confirmed();
        assert_eq!(self.post(&accepted).await, 200);
        assert_eq!(self.post(&accepted).await, 200); // DUPLICATE
        self.script.then([Step::Answer(503), Step::Panic]);
        assert_eq!(self.post(&confirmed()).await, 503);
        assert_eq!(self.post(&confirmed()).await, 500);
        self.refusals().await;
        self.in_flight().await;

        self.store.set_down(true);
        assert_eq!(self.post(&confirmed()).await, 503); // STORE_UNAVAILABLE
        self.store.set_down(false);

        self.abandoned().await;
    }

    async fn refusals(&self) {
        let stale = Payload::confirmed().aged(Duration::from_secs(100_000)).signed_with(&secret());
        let refusals = [
            (confirmed().without("content-type"), 415),
            (confirmed().without("x-bondify-signature"), 401),
            (confirmed().tampered(), 401),
            (WebhookRequest::signed("{}", &secret()), 400),
            (WebhookRequest::signed(vec![b' '; 100_000], &secret()), 413),
            (stale, 401),
        ];
        for (request, status) in refusals {
            assert_eq!(self.post(&request).await, status);
        }
        let chunked = confirmed().to_http1_chunked(PATH, 10);
        let mut broken = self.open().await;
        let head = chunked.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        broken.send(&[&chunked[..head], b"no size\r\n"].concat()).await.unwrap();
        assert_eq!(broken.response().await.unwrap().status, 400);
    }

    /// The client disconnects during the claim.
    async fn abandoned(&self) {
        let claims = |call: &Call| matches!(call, Call::Claim(_));
        let claimed = self.store.calls().iter().filter(|&call| claims(call)).count();
        self.store.hold_claims();
        let mut client = self.open().await;
        client.send(&confirmed().to_http1(PATH)).await.unwrap();
        self.store.until(claimed + 1, claims).await;
        client.hang_up().await.unwrap();
        self.store.resume_claims();
    }

    async fn in_flight(&self) {
        let started = self.script.progress().started.len();
        self.script.then([Step::held(200)]);
        let request = confirmed();
        let mut first = self.open().await;
        first.send(&request.to_http1(PATH)).await.unwrap();
        self.script.started(started + 1).await;
        assert_eq!(self.post(&request).await, 409);
        self.store.until(1, |call| *call == Call::Renew(true)).await;
        self.script.resume(1);
        assert_eq!(first.response().await.unwrap().status, 200);
    }
}
