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
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Delivery, DeliveryId, Error, Persona, ProjectSettings, Resend, Session,
    app::{App, Input},
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
        .route("/emulator/sessions/{token}/confirm", post(confirm))
        .route("/emulator/sessions/{token}/cancel", post(cancel))
        .route("/emulator/sessions/{token}/expire", post(expire))
        .route("/emulator/sessions/{token}/use", post(use_proof))
        .route("/emulator/deliveries", get(deliveries))
        .route("/emulator/deliveries/resend-failed", post(resend_failed))
        .route("/emulator/deliveries/{id}", get(delivery))
        .route("/emulator/deliveries/{id}/resend", post(resend))
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

async fn reset(State(app): State<Arc<App>>) -> Json<Value> {
    app.backend.with(|state, _| state.reset());
    Json(json!({"ok": true}))
}

/// Streams changes as they happen, each an event with JSON.
async fn events(State(app): State<Arc<App>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = stream::unfold(Changes::of(&app.backend), async |mut changes| {
        let change = changes.next().await?;
        Some((Event::default().data(json!(change).to_string()), changes))
    });
    let stopped = app.stopped.clone().cancelled_owned();
    Sse::new(changes.map(Ok).take_until(stopped)).keep_alive(KeepAlive::default())
}

async fn projects(State(app): State<Arc<App>>) -> Json<Value> {
    app.backend.with(|state, _| Json(json!({"projects": state.projects()})))
}

async fn update(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Input(settings): Input<ProjectSettings>,
) -> Result<Json<Value>, Error> {
    app.backend.with(|state, _| Ok(Json(json!(state.update_project(&id, settings)?))))
}

async fn secret(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Value>, Error> {
    app.backend.with(|state, _| Ok(Json(json!({"secret": state.project(&id)?.reveal_secret()}))))
}

async fn regenerate(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Error> {
    let project = app.backend.with(|state, _| state.rotate_secret(&id))?;
    Ok(Json(json!({"secret": project.reveal_secret()})))
}

#[derive(Default, Deserialize)]
struct TestEvent {
    event: Option<String>,
}

async fn send_test_event(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Input(wanted): Input<Option<TestEvent>>,
) -> Result<Json<Delivery>, Error> {
    let TestEvent { event } = wanted.unwrap_or_default();
    let event = event.as_deref().unwrap_or(bondify_core::Confirmed::NAME);
    let delivery = app.backend.with(|state, now| state.send_test_event(&id, event, now))?;
    Ok(Json(Delivery::clone(&delivery)))
}

#[derive(Deserialize)]
struct ProjectFilter {
    project_id: Option<String>,
}

async fn sessions(
    State(app): State<Arc<App>>,
    Query(ProjectFilter { project_id }): Query<ProjectFilter>,
) -> Result<Json<Value>, Error> {
    app.backend.with(|state, now| {
        Ok(Json(json!({"sessions": state.sessions_of(project_id.as_deref(), now)?})))
    })
}

async fn session(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
) -> Result<Json<Session>, Error> {
    app.backend.with(|state, now| state.session(&token, now)).map(Json)
}

async fn confirm(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    Input(persona): Input<Option<Persona>>,
) -> Result<Json<Session>, Error> {
    let persona = persona.unwrap_or_default();
    app.backend.with(|state, now| state.confirm(&token, persona, now)).map(Json)
}

async fn cancel(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
) -> Result<Json<Session>, Error> {
    app.backend.with(|state, now| state.cancel(&token, now)).map(Json)
}

async fn expire(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
) -> Result<Json<Session>, Error> {
    app.backend.with(|state, now| state.expire(&token, now)).map(Json)
}

async fn use_proof(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
) -> Result<Json<Session>, Error> {
    app.backend.with(|state, now| state.use_proof(&token, now)).map(Json)
}

#[derive(Deserialize)]
struct Filter {
    project_id: Option<String>,
    session_token: Option<String>,
}

async fn deliveries(State(app): State<Arc<App>>, Query(filter): Query<Filter>) -> Json<Value> {
    let Filter { project_id, session_token } = filter;
    let wanted = |delivery: &&Arc<Delivery>| {
        project_id.as_ref().is_none_or(|id| *id == delivery.project_id)
            && session_token.as_ref().is_none_or(|token| *token == delivery.session_token)
    };
    app.backend.with(|state, _| {
        let deliveries: Vec<_> = state.deliveries().filter(wanted).collect();
        Json(json!({"deliveries": deliveries}))
    })
}

async fn delivery(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Error> {
    let id = delivery_id(&id)?;
    app.backend.with(|state, _| Ok(Json(json!(state.delivery(id)?))))
}

async fn resend(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Input(resend): Input<Option<Resend>>,
) -> Result<Json<Value>, Error> {
    let (id, resend) = (delivery_id(&id)?, resend.unwrap_or_default());
    app.backend.with(|state, now| Ok(Json(json!(state.resend(id, resend, now)?))))
}

async fn resend_failed(
    State(app): State<Arc<App>>,
    Query(ProjectFilter { project_id }): Query<ProjectFilter>,
) -> Result<Json<Value>, Error> {
    app.backend.with(|state, now| {
        Ok(Json(json!({"deliveries": state.resend_failed(project_id.as_deref(), now)?})))
    })
}

fn delivery_id(text: &str) -> Result<DeliveryId, Error> {
    text.parse().map_err(|_| Error::DeliveryNotFound)
}
