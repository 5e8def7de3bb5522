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
    fields::{Fields, FormName, Refused, with_lf},
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
        .route("/inspector/sessions/{token}/{verb}", post(end))
        .route("/inspector/deliveries/resend-failed", post(resend_failed))
        .route("/inspector/deliveries/{id}/resend", post(resend))
}

type RedirectResult = Result<Redirect, Refusal>;

fn show(selection: Selection) -> RedirectResult {
    Ok(Redirect::to(&selection.address()))
}

/// Shows the form again, with its input and the error.
fn refused(app: &App, form: FormName, at: Selection, fields: Fields, error: Error) -> Refusal {
    inspector::refusal(app, at, Refused { form, fields, error })
}

async fn create(State(app): State<Arc<App>>, Form(fields): Form<Fields>) -> RedirectResult {
    let text = |name| fields.get(name).unwrap_or_default();
    let settings = ProjectSettings::new()
        .name(text("name"))
        .webhook_url(text("webhook_url"))
        .public_access(fields.get("public_access").is_some());
    match app.backend.with(|state, now| state.add_project(settings, now)) {
        Ok(project) => show(Selection::of_project(&project.id, Tab::Deliveries)),
        Err(error) => Err(refused(&app, FormName::NewProject, Selection::default(), fields, error)),
    }
}

fn update(app: &App, id: &str, settings: ProjectSettings) -> RedirectResult {
    app.backend.with(|state, _| state.update_project(id, settings))?;
    show(Selection::of_project(id, Tab::Settings))
}

async fn set_webhook(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> RedirectResult {
    let url = fields.get("webhook_url").unwrap_or_default().trim();
    let settings = ProjectSettings::new().webhook_url(url);
    update_by_form(&app, &id, Ok(settings), FormName::Webhook, fields)
}

/// Updates the project by the settings that were read from a form.
fn update_by_form(
    app: &App,
    id: &str,
    settings: Result<ProjectSettings, Error>,
    form: FormName,
    fields: Fields,
) -> RedirectResult {
    let at = Selection::of_project(id, Tab::Settings);
    let updated = settings
        .and_then(|settings| app.backend.with(|state, _| state.update_project(id, settings)));
    match updated {
        Ok(_) => show(at),
        Err(error) => Err(refused(app, form, at, fields, error)),
    }
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
    Form(fields): Form<Fields>,
) -> RedirectResult {
    let settings = faults(&fields).map(|faults| ProjectSettings::new().faults(faults));
    update_by_form(&app, &id, settings, FormName::Faults, fields)
}

/// Reads a field `fault` for each fault that is on, and the milliseconds of the delay in
/// `delay_ms`.
fn faults(fields: &Fields) -> Result<Vec<Fault>, Error> {
    let fault = |name: &str| match name {
        "delay" => {
            let ms = fields.get("delay_ms").and_then(|ms| ms.parse::<u32>().ok());
            let ms = ms.ok_or(Error::BadRequest("the delay must be a number of milliseconds"))?;
            Ok(Fault::Delay(Duration::from_millis(ms.into())))
        }
        _ => name.parse().map_err(|_| Error::BadRequest("unknown fault")),
    };
    fields.all("fault").map(fault).collect()
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

/// Ends a session.
async fn end(
    State(app): State<Arc<App>>,
    Path((token, verb)): Path<(String, String)>,
) -> RedirectResult {
    let session = app.backend.with(|state, now| match &*verb {
        "confirm" => state.confirm(&token, Persona::default(), now),
        "cancel" => state.cancel(&token, now),
        "expire" => state.expire(&token, now),
        "use" => state.use_proof(&token, now),
        _ => Err(Error::NotFound),
    })?;
    show(Selection::of_project(&session.project_id, Tab::Sessions))
}

/// The button that resends without changes sends no fields.
async fn resend(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> RedirectResult {
    let id: DeliveryId = id.parse().map_err(|_| Error::DeliveryNotFound)?;
    let sent = app.backend.with(|state, _| state.delivery(id).cloned())?;
    let body = fields.get("body").filter(|body| *body != with_lf(&sent.body)).map(str::to_owned);
    let url = fields.get("url").map(|url| url.trim().to_owned());
    let at = Selection::of_project(&sent.project_id, Tab::Deliveries);
    match app.backend.with(|state, now| state.resend(id, Resend { url, body }, now)) {
        Ok(delivery) => show(at.opening(&delivery)),
        Err(error) => Err(refused(&app, FormName::Resend, at.opening(&sent), fields, error)),
    }
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
