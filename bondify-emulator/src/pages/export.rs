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
use serde::Deserialize;
use serde_json::{Value, json};

use super::{result::Refusal, selection::Selection};
use crate::{Attempt, Delivery, Error, Outcome, Project, app::App, clock::iso};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/inspector/export/{format}", get(export))
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// The deliveries as in the control API.
    Json,
    /// HTTP Archive 1.2, an entry for each attempt.
    Har,
}

/// Sends the open delivery, or all that match the filters, as a file without secrets.
async fn export(
    State(app): State<Arc<App>>,
    Path(format): Path<Format>,
    Query(selection): Query<Selection>,
) -> Result<Response, Refusal> {
    let projects = app.backend.with(|state, _| state.projects().to_vec());
    let deliveries = selected(&app, &selection, &projects)?;
    let deliveries: Vec<_> =
        deliveries.iter().map(|delivery| without_credentials(delivery)).collect();
    let (mut content, ending) = match format {
        Format::Json => (json!({"deliveries": deliveries}), "json"),
        Format::Har => (har(&deliveries), "har"),
    };
    let secrets = projects.iter().flat_map(|p| [p.reveal_secret(), p.reveal_secret_key()]);
    redact(&mut content, &secrets.collect::<Vec<_>>());
    let name = selection.open().map_or("deliveries".to_owned(), |id| id.to_string());
    let headers = [
        (CONTENT_TYPE, "application/json".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"bondify-{name}.{ending}\"")),
    ];
    Ok((headers, format!("{content:#}\n")).into_response())
}

/// The open delivery, or all that match the filters. Bodies are searched without holding the lock on
/// the state.
fn selected(
    app: &App,
    selection: &Selection,
    projects: &[Arc<Project>],
) -> Result<Vec<Arc<Delivery>>, Error> {
    if !selection.project.is_empty() && selection.find(projects).is_none() {
        return Err(Error::ProjectNotFound);
    }
    let all: Vec<_> = app.backend.with(|state, _| state.deliveries().cloned().collect());
    let is_selected = |delivery: &Arc<Delivery>| match &*selection.delivery {
        "" => selection.has_delivery(delivery),
        _ => selection.open() == Some(delivery.id),
    };
    let found: Vec<_> = all.into_iter().filter(is_selected).collect();
    if found.is_empty() && !selection.delivery.is_empty() {
        return Err(Error::DeliveryNotFound);
    }
    Ok(found)
}

const REDACTED: &str = "[redacted]";

/// The delivery without the user and the password of its URL, and without the values of headers
/// that authenticate.
fn without_credentials(delivery: &Delivery) -> Delivery {
    let mut delivery = delivery.clone();
    // A URL that cannot have them has none.
    let _ = delivery.url.set_username("");
    let _ = delivery.url.set_password(None);
    for attempt in &mut delivery.attempts {
        redact_headers(&mut attempt.request_headers);
        if let Outcome::Answered { response_headers, .. } = &mut attempt.outcome {
            redact_headers(response_headers);
        }
    }
    delivery
}

fn redact_headers(headers: &mut [(String, String)]) {
    const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
    for (name, value) in headers {
        if CREDENTIALS.iter().any(|header| name.eq_ignore_ascii_case(header)) {
            REDACTED.clone_into(value);
        }
    }
}

/// Replaces the projects' secrets in all texts, such as an answer that contains one.
fn redact(content: &mut Value, secrets: &[&str]) {
    match content {
        Value::String(text) => {
            for secret in secrets {
                if text.contains(secret) {
                    *text = text.replace(secret, REDACTED);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| redact(value, secrets)),
        Value::Object(fields) => fields.values_mut().for_each(|value| redact(value, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
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
    let (response, error) = response(&attempt.outcome);
    let mut entry = json!({
        "startedDateTime": iso(attempt.started_at),
        "time": ms,
        "request": request(delivery, attempt),
        "response": response,
        "cache": {},
        "timings": {"blocked": -1, "dns": -1, "connect": -1, "send": 0, "wait": ms, "receive": 0, "ssl": -1},
        "_delivery": delivery.id,
        "_attempt": number,
    });
    if let Some(error) = error {
        entry["_error"] = json!(error);
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

/// The response, with the status 0 if there is none, and the reason for that.
fn response(outcome: &Outcome) -> (Value, Option<String>) {
    let none = (0, &[][..], "");
    let ((status, received, body), error) = match outcome {
        Outcome::Answered { status, response_headers, response_body } => {
            ((*status, &response_headers[..], &**response_body), None)
        }
        Outcome::Disconnected { reason } => (none, Some(reason.clone())),
        _ => (none, Some(super::attempts::result(outcome))),
    };
    let header = |name: &str| {
        let header = received.iter().find(|header| header.0.eq_ignore_ascii_case(name));
        header.map_or("", |(_, value)| value)
    };
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let response = json!({
        "status": status,
        "statusText": reason.unwrap_or_default(),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": headers(received),
        "content": {"size": body.len(), "mimeType": header("content-type"), "text": body},
        "redirectURL": header("location"),
        "headersSize": -1,
        "bodySize": -1,
    });
    (response, error)
}

fn headers(headers: &[(String, String)]) -> Vec<Value> {
    headers.iter().map(|(name, value)| pair((name.as_str(), value.as_str()))).collect()
}

fn pair((name, value): (impl serde::Serialize, impl serde::Serialize)) -> Value {
    json!({"name": name, "value": value})
}
