//! The same work in libraries for other webhooks.

mod node;

use std::{
    hint::black_box,
    time::{SystemTime, UNIX_EPOCH},
};

use bondify_core::Verifier;
use http::{HeaderMap, HeaderName, HeaderValue};

use self::node::Node;
use crate::{
    events::{SECRET, USUAL_SIZE, body, secret, signature},
    report::{Report, Row, skipped},
    rounds::Plan,
    verify::{checked, nanoseconds, verified},
};

pub(crate) fn measure(plan: &Plan, report: &mut Report) {
    let mut rows = vec![svix(plan).at_least(8.0), standardwebhooks(plan).at_least(8.0)];
    match Node::start(&body(USUAL_SIZE, 1)) {
        Ok(node) => rows.push(official(plan, node).at_least(7.0)),
        Err(error) => skipped("the official SDK's algorithm", &error),
    }
    report.suite("peers", &rows);
}

fn svix(plan: &Plan) -> Row {
    let webhook = svix::webhooks::Webhook::from_bytes(SECRET.into()).expect("a secret");
    let sign = |id: &str, now, body: &[u8]| webhook.sign(id, now, body).expect("text");
    let verify = |body: &[u8], headers: &HeaderMap| webhook.verify(body, headers).expect("signed");
    against(plan, "`svix` 2", sign, verify)
}

fn standardwebhooks(plan: &Plan) -> Row {
    let webhook = standardwebhooks::Webhook::from_bytes(SECRET.into()).expect("a secret");
    let sign = |id: &str, now, body: &[u8]| webhook.sign(id, now, body).expect("text");
    let verify = |body: &[u8], headers: &HeaderMap| webhook.verify(body, headers).expect("signed");
    against(plan, "`standardwebhooks` 1", sign, verify)
}

/// Signature checks, each with its own arguments: the other libraries take all headers, `bondify-core` takes
/// the signature header.
fn against(
    plan: &Plan,
    name: &str,
    sign: impl Fn(&str, i64, &[u8]) -> String,
    verify: impl Fn(&[u8], &HeaderMap),
) -> Row {
    let body = body(USUAL_SIZE, 1);

    let (secret, signature) = (secret(), signature(&body));
    let ours = || checked(&secret, black_box(&body), black_box(&signature));

    let id = "msg_2b0c9d8e7a6b5c4d";
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let headers = headers([
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", now.to_string()),
        ("webhook-signature", sign(id, now, &body)),
    ]);
    let theirs = || verify(black_box(&body), black_box(&headers));

    let samples = plan.time(&mut [plan.turn(theirs), plan.turn(ours)]);
    Row::ratio(format!("{name}: `Webhook::verify` / our check"), &samples[0], &samples[1])
        .detail(nanoseconds(&samples))
}

fn headers<const N: usize>(headers: [(&'static str, String); N]) -> HeaderMap {
    let header = |(name, value): (_, String)| {
        (HeaderName::from_static(name), HeaderValue::try_from(value).expect("visible ASCII"))
    };
    headers.into_iter().map(header).collect()
}

/// Check and parse against the official SDK's algorithm.
fn official(plan: &Plan, mut node: Node) -> Row {
    let (verifier, body) = (Verifier::new(secret()), body(USUAL_SIZE, 1));
    let signature = signature(&body);
    let ours = || verified(&verifier, black_box(&body), black_box(&signature));
    let measure = format!("Node {}: official SDK's algorithm / our check and parse", node.version);
    let samples = plan.time(&mut [plan.turn_of(|calls| node.verify(calls)), plan.turn(ours)]);
    Row::ratio(measure, &samples[0], &samples[1]).detail(nanoseconds(&samples))
}
