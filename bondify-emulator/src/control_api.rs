use std::{convert::Infallible, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
    routing::{get, patch, post},
};
use bondify_core::Confirmed;
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Delivery, DeliveryId, Error, Persona, ProjectSettings, Resend,
    app::{Answer, App, Input, Shared},
    changes::Changes,
};

/// The control API, for tests.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/emulator/health", get(health))
        .route("/emulator/reset", post(reset))
        .route("/emulator/events", get(events))
        .route("/emulator/projects", get(projects))
        .route("/emulator/projects/{id}", patch(update))
        .route("/emulator/projects/{id}/secret", get(secret))
        .route("/emulator/projects/{id}/regenerate", post(regenerate))
        .route("/emulator/projects/{id}/test", post(send_test_event))
        .route("/emulator/sessions", get(sessions))
        .route("/emulator/sessions/{token}", get(session))
        .route("/emulator/sessions/{token}/{verb}", post(end))
        .route("/emulator/deliveries", get(deliveries))
        .route("/emulator/deliveries/resend-failed", post(resend_failed))
        .route("/emulator/deliveries/{id}", get(delivery))
        .route("/emulator/deliveries/{id}/resend", post(resend))
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

async fn reset(State(app): Shared) -> Json<Value> {
    app.backend.with(|state| state.reset());
    Json(json!({"ok": true}))
}

/// Streams changes as they happen, each an event with JSON.
async fn events(State(app): Shared) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = stream::unfold(Changes(app.backend.changes()), async |mut changes| {
        let change = changes.next().await?;
        Some((Event::default().data(json!(change).to_string()), changes))
    });
    let stopped = app.stopped.clone().cancelled_owned();
    Sse::new(changes.map(Ok).take_until(stopped)).keep_alive(KeepAlive::default())
}

async fn projects(State(app): Shared) -> Answer {
    app.answer_with(|state| Ok(json!({"projects": state.projects()})))
}

async fn update(
    State(app): Shared,
    Path(id): Path<String>,
    Input(settings): Input<ProjectSettings>,
) -> Answer {
    app.answer_with(|state| state.update_project(&id, settings))
}

async fn secret(State(app): Shared, Path(id): Path<String>) -> Answer {
    app.answer_with(|state| Ok(json!({"secret": state.project(&id)?.reveal_secret()})))
}

async fn regenerate(State(app): Shared, Path(id): Path<String>) -> Answer {
    app.answer_with(|state| Ok(json!({"secret": state.rotate_secret(&id)?.reveal_secret()})))
}

async fn send_test_event(
    State(app): Shared,
    Path(id): Path<String>,
    Input(wanted): Input<Value>,
) -> Answer {
    let event = match &wanted["event"] {
        Value::Null => Confirmed::NAME,
        event => event.as_str().ok_or(Error::MALFORMED)?,
    };
    app.answer_with(|state| state.send_test_event(&id, event))
}

/// The items that a list has.
#[derive(Deserialize)]
struct Filter {
    project_id: Option<String>,
    session_token: Option<String>,
}

async fn sessions(State(app): Shared, Query(filter): Query<Filter>) -> Answer {
    let of = filter.project_id.as_deref();
    app.answer_with(|state| Ok(json!({"sessions": state.sessions_of(of)?})))
}

async fn session(State(app): Shared, Path(token): Path<String>) -> Answer {
    app.answer_with(|state| state.session(&token))
}

async fn end(
    State(app): Shared,
    Path((token, verb)): Path<(String, String)>,
    Input(persona): Input<Option<Persona>>,
) -> Answer {
    app.answer_with(|state| state.end(&token, &verb, persona.unwrap_or_default()))
}

async fn deliveries(State(app): Shared, Query(filter): Query<Filter>) -> Answer {
    let is =
        |wanted: &Option<String>, it: &str| wanted.as_deref().is_none_or(|wanted| wanted == it);
    let wanted = |delivery: &&Arc<Delivery>| {
        is(&filter.project_id, &delivery.project_id)
            && is(&filter.session_token, &delivery.session_token)
    };
    app.answer_with(|state| {
        let deliveries: Vec<_> = state.deliveries().filter(wanted).collect();
        Ok(json!({"deliveries": deliveries}))
    })
}

async fn delivery(State(app): Shared, Path(id): Path<String>) -> Answer {
    app.answer_with(|state| state.delivery(delivery_id(&id)?).cloned())
}

async fn resend(
    State(app): Shared,
    Path(id): Path<String>,
    Input(resend): Input<Option<Resend>>,
) -> Answer {
    app.answer_with(|state| state.resend(delivery_id(&id)?, resend.unwrap_or_default()))
}

async fn resend_failed(State(app): Shared, Query(filter): Query<Filter>) -> Answer {
    let of = filter.project_id.as_deref();
    app.answer_with(|state| Ok(json!({"deliveries": state.resend_failed(of)?})))
}

fn delivery_id(text: &str) -> Result<DeliveryId, Error> {
    text.parse().map_err(|_| Error::DeliveryNotFound)
}
