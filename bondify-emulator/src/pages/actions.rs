//! The inspector's forms. Each redirects to the page that shows its effect.

use std::{sync::Arc, time::Duration};

use axum::{
    Form, Router,
    extract::{Path, State},
    response::Redirect,
    routing::post,
};
use bondify_core::Confirmed;
use serde::Deserialize;

use super::{
    inspector,
    result::{PageResult, Refusal},
    selection::{Selection, Tab},
};
use crate::{DeliveryId, Error, Fault, Persona, Plan, ProjectSettings, Resend, app::App};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/inspector/projects", post(create))
        .route("/inspector/projects/{id}/webhook", post(set_webhook))
        .route("/inspector/projects/{id}/settings", post(set_settings))
        .route("/inspector/projects/{id}/faults", post(set_faults))
        .route("/inspector/projects/{id}/reveal", post(reveal))
        .route("/inspector/projects/{id}/regenerate", post(regenerate))
        .route("/inspector/projects/{id}/sessions", post(generate))
        .route("/inspector/projects/{id}/test", post(send_test_event))
        .route("/inspector/sessions/{token}/confirm", post(confirm))
        .route("/inspector/sessions/{token}/cancel", post(cancel))
        .route("/inspector/sessions/{token}/expire", post(expire))
        .route("/inspector/sessions/{token}/use", post(use_proof))
        .route("/inspector/deliveries/resend-failed", post(resend_failed))
        .route("/inspector/deliveries/{id}/resend", post(resend))
}

type RedirectResult = Result<Redirect, Refusal>;

fn show(selection: Selection) -> RedirectResult {
    Ok(Redirect::to(&selection.address()))
}

#[derive(Deserialize)]
struct NewProject {
    name: String,
    #[serde(default)]
    webhook_url: String,
    public_access: Option<String>,
}

async fn create(State(app): State<Arc<App>>, Form(new): Form<NewProject>) -> RedirectResult {
    let settings = ProjectSettings::new()
        .name(new.name)
        .webhook_url(new.webhook_url)
        .public_access(new.public_access.is_some());
    let project = app.backend.with(|state, now| state.add_project(settings, now))?;
    show(Selection::of_project(&project.id, Tab::Deliveries))
}

fn update(app: &App, id: &str, settings: ProjectSettings) -> RedirectResult {
    app.backend.with(|state, _| state.update_project(id, settings))?;
    show(Selection::of_project(id, Tab::Settings))
}

#[derive(Deserialize)]
struct Webhook {
    webhook_url: String,
}

async fn set_webhook(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Form(Webhook { webhook_url }): Form<Webhook>,
) -> RedirectResult {
    update(&app, &id, ProjectSettings::new().webhook_url(webhook_url.trim()))
}

/// A checkbox is sent only if it is checked.
#[derive(Deserialize)]
struct Settings {
    plan: Plan,
    active: Option<String>,
    public_access: Option<String>,
    req_phone: Option<String>,
    bare_used: Option<String>,
}

async fn set_settings(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Form(form): Form<Settings>,
) -> RedirectResult {
    let settings = ProjectSettings::new()
        .plan(form.plan)
        .active(form.active.is_some())
        .public_access(form.public_access.is_some())
        .req_phone(form.req_phone.is_some())
        .bare_used(form.bare_used.is_some());
    update(&app, &id, settings)
}

async fn set_faults(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Form(form): Form<Vec<(String, String)>>,
) -> RedirectResult {
    update(&app, &id, ProjectSettings::new().faults(faults(&form)?))
}

/// Reads a field `fault` for each fault that is on, and the milliseconds of the delay in
/// `delay_ms`.
fn faults(form: &[(String, String)]) -> Result<Vec<Fault>, Error> {
    let values = |name| form.iter().filter(move |field| field.0 == name).map(|field| &*field.1);
    let fault = |name: &str| match name {
        "delay" => {
            let ms = values("delay_ms").next().and_then(|ms| ms.parse::<u32>().ok());
            let ms = ms.ok_or(Error::BadRequest("the delay must be a number of milliseconds"))?;
            Ok(Fault::Delay(Duration::from_millis(ms.into())))
        }
        _ => name.parse().map_err(|_| Error::BadRequest("unknown fault")),
    };
    values("fault").map(fault).collect()
}

async fn reveal(State(app): State<Arc<App>>, Path(id): Path<String>) -> PageResult {
    inspector::page_with_secret(&app, &id)
}

async fn regenerate(State(app): State<Arc<App>>, Path(id): Path<String>) -> RedirectResult {
    app.backend.with(|state, _| state.rotate_secret(&id))?;
    show(Selection::of_project(&id, Tab::Settings))
}

async fn generate(State(app): State<Arc<App>>, Path(id): Path<String>) -> RedirectResult {
    let session = app.backend.with(|state, now| state.generate(&id, now))?;
    Ok(Redirect::to(&app.deeplink_path(&session.token)))
}

#[derive(Deserialize)]
struct TestEvent {
    event: String,
}

async fn send_test_event(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Form(TestEvent { event }): Form<TestEvent>,
) -> RedirectResult {
    let event = if event.is_empty() { Confirmed::NAME } else { &event };
    let delivery = app.backend.with(|state, now| state.send_test_event(&id, event, now))?;
    show(Selection::of_project(&id, Tab::Deliveries).opening(&delivery))
}

async fn confirm(State(app): State<Arc<App>>, Path(token): Path<String>) -> RedirectResult {
    let by = Persona::default();
    let session = app.backend.with(|state, now| state.confirm(&token, by, now))?;
    show(Selection::of_project(&session.project_id, Tab::Sessions))
}

async fn cancel(State(app): State<Arc<App>>, Path(token): Path<String>) -> RedirectResult {
    let session = app.backend.with(|state, now| state.cancel(&token, now))?;
    show(Selection::of_project(&session.project_id, Tab::Sessions))
}

async fn expire(State(app): State<Arc<App>>, Path(token): Path<String>) -> RedirectResult {
    let session = app.backend.with(|state, now| state.expire(&token, now))?;
    show(Selection::of_project(&session.project_id, Tab::Sessions))
}

async fn use_proof(State(app): State<Arc<App>>, Path(token): Path<String>) -> RedirectResult {
    let session = app.backend.with(|state, now| state.use_proof(&token, now))?;
    show(Selection::of_project(&session.project_id, Tab::Sessions))
}

/// The form of a resend. The button that resends without changes sends no fields.
#[derive(Deserialize)]
struct ResendForm {
    url: Option<String>,
    body: Option<String>,
}

async fn resend(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Form(ResendForm { url, body }): Form<ResendForm>,
) -> RedirectResult {
    let id: DeliveryId = id.parse().map_err(|_| Error::DeliveryNotFound)?;
    let delivery = app.backend.with(|state, now| {
        let sent = &state.delivery(id)?.body;
        // A browser sends each line end of a text area as CR LF.
        let is_same = |body: &String| with_lf(body) == with_lf(sent);
        let body = body.filter(|body| !is_same(body)).map(|body| with_lf(&body));
        state.resend(id, Resend { url: url.map(|url| url.trim().to_owned()), body }, now)
    })?;
    show(Selection::of_project(&delivery.project_id, Tab::Deliveries).opening(&delivery))
}

fn with_lf(text: &str) -> String {
    text.replace("\r\n", "\n")
}

#[derive(Deserialize)]
struct Of {
    /// The id of the project; empty for all projects.
    project: String,
}

async fn resend_failed(
    State(app): State<Arc<App>>,
    Form(Of { project }): Form<Of>,
) -> RedirectResult {
    let of = Some(&*project).filter(|id| !id.is_empty());
    app.backend.with(|state, now| state.resend_failed(of, now))?;
    show(Selection::of_project(&project, Tab::Deliveries))
}
