//! The export of deliveries as a file, for bug reports and other tools.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State},
    http::{
        StatusCode,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::{result::Refusal, selection::Selection};
use crate::{
    Attempt, Delivery, Error, Outcome,
    app::{App, Shared},
    clock::iso,
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/inspector/export/{format}", get(export))
}

/// Sends the open delivery, or all that match the filters, as a file without secrets: as in the
/// control API, or an HTTP Archive 1.2 with an entry for each attempt. Bodies are searched without
/// holding the lock on the state.
async fn export(
    State(app): Shared,
    Path(format): Path<String>,
    Query(selection): Query<Selection>,
) -> Result<Response, Refusal> {
    let (projects, deliveries) = app
        .backend
        .with(|state| (state.projects().to_vec(), state.deliveries().cloned().collect::<Vec<_>>()));
    selection.find(&projects)?;
    let is_selected = |delivery: &&Arc<Delivery>| match &*selection.delivery {
        "" => selection.has_delivery(delivery),
        _ => selection.open() == Some(delivery.id),
    };
    let deliveries = deliveries.iter().filter(is_selected);
    let deliveries: Vec<_> = deliveries.map(|delivery| without_credentials(delivery)).collect();
    if deliveries.is_empty() && !selection.delivery.is_empty() {
        return Err(Error::DeliveryNotFound.into());
    }
    let content = match &*format {
        "json" => json!({"deliveries": deliveries}),
        "har" => har(&deliveries),
        _ => return Err(Error::NotFound.into()),
    };
    let secrets = projects.iter().flat_map(|p| [p.reveal_secret(), p.reveal_secret_key()]);
    let content = secrets.fold(format!("{content:#}\n"), without);
    let name = selection.open().map_or("deliveries".to_owned(), |id| id.to_string());
    let headers = [
        (CONTENT_TYPE, "application/json".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"bondify-{name}.{format}\"")),
    ];
    Ok((headers, content).into_response())
}

const REDACTED: &str = "[redacted]";

/// The delivery without the user and the password of its URL, and without the values of headers
/// that authenticate.
fn without_credentials(delivery: &Delivery) -> Delivery {
    const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
    let mut delivery = delivery.clone();
    // A URL that cannot have them has none.
    let _ = delivery.url.set_username("");
    let _ = delivery.url.set_password(None);
    for attempt in &mut delivery.attempts {
        let received = match &mut attempt.outcome {
            Outcome::Answered { response_headers, .. } => &mut response_headers[..],
            _ => &mut [],
        };
        for (name, value) in attempt.request_headers.iter_mut().chain(received) {
            if CREDENTIALS.iter().any(|header| name.eq_ignore_ascii_case(header)) {
                REDACTED.clone_into(value);
            }
        }
    }
    delivery
}

/// The JSON without a project's secret, which an answer may contain.
fn without(json: String, secret: &str) -> String {
    let quoted = json!(secret).to_string();
    json.replace(&quoted[1..quoted.len() - 1], REDACTED)
}

/// An HTTP Archive, oldest attempt first. See <http://www.softwareishard.com/blog/har-12-spec/>.
fn har(deliveries: &[Delivery]) -> Value {
    let attempts = deliveries.iter().flat_map(|delivery| {
        delivery.attempts.iter().zip(1..).map(move |(attempt, number)| (delivery, attempt, number))
    });
    let mut attempts: Vec<_> = attempts.collect();
    attempts.sort_by_key(|(_, attempt, _)| attempt.started_at);
    let entries: Vec<_> = attempts.into_iter().map(entry).collect();
    let creator = json!({"name": "bondify-emulator", "version": env!("CARGO_PKG_VERSION")});
    json!({"log": {"version": "1.2", "creator": creator, "pages": [], "entries": entries}})
}

/// Names that begin with an underscore are not part of the format. Readers ignore them.
fn entry((delivery, attempt, number): (&Delivery, &Attempt, u32)) -> Value {
    let ms = attempt.duration.as_millis();
    let mut entry = json!({
        "startedDateTime": iso(attempt.started_at),
        "time": ms,
        "request": request(delivery, attempt),
        "response": response(&attempt.outcome),
        "cache": {},
        "timings": {"blocked": -1, "dns": -1, "connect": -1, "send": 0, "wait": ms, "receive": 0, "ssl": -1},
        "_delivery": delivery.id,
        "_attempt": number,
    });
    match &attempt.outcome {
        Outcome::Answered { .. } => {}
        Outcome::Disconnected { reason } => entry["_error"] = json!(reason),
        outcome => entry["_error"] = json!(outcome.to_string()),
    }
    entry
}

fn request(delivery: &Delivery, attempt: &Attempt) -> Value {
    let query: Vec<_> = delivery.url.query_pairs().map(pair).collect();
    json!({
        "method": "POST",
        "url": delivery.url,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": headers(&attempt.request_headers),
        "queryString": query,
        "postData": {"mimeType": "application/json", "params": [], "text": delivery.body},
        "headersSize": -1,
        "bodySize": delivery.body.len(),
    })
}

/// The response, with the status 0 if there is none.
fn response(outcome: &Outcome) -> Value {
    let (status, received, body) = match outcome {
        Outcome::Answered { status, response_headers, response_body } => {
            (*status, &response_headers[..], &**response_body)
        }
        _ => (0, &[][..], ""),
    };
    let header = |name: &str| {
        let header = received.iter().find(|header| header.0.eq_ignore_ascii_case(name));
        header.map_or("", |(_, value)| value)
    };
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    json!({
        "status": status,
        "statusText": reason.unwrap_or_default(),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": headers(received),
        "content": {"size": body.len(), "mimeType": header("content-type"), "text": body},
        "redirectURL": header("location"),
        "headersSize": -1,
        "bodySize": -1,
    })
}

fn headers(headers: &[(String, String)]) -> Vec<Value> {
    headers.iter().map(|(name, value)| pair((name.as_str(), value.as_str()))).collect()
}

fn pair((name, value): (impl serde::Serialize, impl serde::Serialize)) -> Value {
    json!({"name": name, "value": value})
}
