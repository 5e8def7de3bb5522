//! The inspector's forms. Each redirects to the page that shows its effect.

use std::{sync::Arc, time::Duration};

use axum::{
    Form, Router,
    extract::{Path, State},
    response::Redirect,
    routing::post,
};
use bondify_core::Confirmed;
use serde_json::from_value;

use super::{
    fields::{Fields, Refused, with_lf},
    inspector,
    result::{PageResult, Refusal},
    selection::{Selection, Tab},
};
use crate::{
    DeliveryId, Error, Fault, Persona, ProjectSettings, Resend,
    app::{App, Shared},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/inspector/projects", post(create))
        .route("/inspector/projects/{id}/{form}", post(save))
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

async fn create(State(app): Shared, Form(fields): Form<Fields>) -> RedirectResult {
    let created = settings("projects", &fields)
        .and_then(|settings| app.backend.with(|state| state.add_project(settings)));
    match created {
        Ok(project) => show(Selection::of_project(&project.id, Tab::Deliveries)),
        Err(error) => Err(refuse(&app, "projects", Selection::default(), fields, error)),
    }
}

/// Changes the settings that are in this form.
async fn save(
    State(app): Shared,
    Path((id, form)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> RedirectResult {
    let at = Selection::of_project(&id, Tab::Settings);
    let saved = settings(&form, &fields)
        .and_then(|settings| app.backend.with(|state| state.update_project(&id, settings)));
    match saved {
        Ok(_) => show(at),
        Err(error) => Err(refuse(&app, &form, at, fields, error)),
    }
}

/// Shows the form again, with its input and the error.
fn refuse(app: &App, form: &str, at: Selection, fields: Fields, error: Error) -> Refusal {
    inspector::refusal(app, at, Refused { form: form.to_owned(), fields, error })
}

/// Reads the settings in a form.
fn settings(form: &str, fields: &Fields) -> Result<ProjectSettings, Error> {
    let text = |name| fields.get(name).unwrap_or_default().trim();
    let is_on = |name| fields.get(name).is_some();
    let settings = ProjectSettings::new();
    Ok(match form {
        "projects" => settings
            .name(text("name"))
            .webhook_url(text("webhook_url"))
            .public_access(is_on("public_access")),
        "webhook" => settings.webhook_url(text("webhook_url")),
        "settings" => settings
            .plan(from_value(text("plan").into()).map_err(|_| Error::BadRequest("unknown plan"))?)
            .active(is_on("active"))
            .public_access(is_on("public_access"))
            .req_phone(is_on("req_phone"))
            .bare_used(is_on("bare_used")),
        "faults" => settings.faults(faults(fields)?),
        _ => return Err(Error::NotFound),
    })
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

async fn reveal(State(app): Shared, Path(id): Path<String>) -> PageResult {
    inspector::page_with_secret(&app, &id)
}

async fn regenerate(State(app): Shared, Path(id): Path<String>) -> RedirectResult {
    app.backend.with(|state| state.rotate_secret(&id))?;
    show(Selection::of_project(&id, Tab::Settings))
}

async fn generate(State(app): Shared, Path(id): Path<String>) -> RedirectResult {
    let session = app.backend.with(|state| state.generate(&id))?;
    Ok(Redirect::to(&app.deeplink_path(&session.token)))
}

async fn send_test_event(
    State(app): Shared,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> RedirectResult {
    let event = fields.get("event").filter(|event| !event.is_empty()).unwrap_or(Confirmed::NAME);
    let delivery = app.backend.with(|state| state.send_test_event(&id, event))?;
    show(Selection::of_project(&id, Tab::Deliveries).opening(delivery.id))
}

/// Ends a session, as the default persona if it is confirmed.
async fn end(State(app): Shared, Path((token, verb)): Path<(String, String)>) -> RedirectResult {
    let session = app.backend.with(|state| state.end(&token, &verb, Persona::default()))?;
    show(Selection::of_project(&session.project_id, Tab::Sessions))
}

/// The button that resends without changes sends no fields.
async fn resend(
    State(app): Shared,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> RedirectResult {
    let id: DeliveryId = id.parse().map_err(|_| Error::DeliveryNotFound)?;
    let sent = app.backend.with(|state| state.delivery(id).cloned())?;
    let body = fields.get("body").filter(|body| *body != with_lf(&sent.body)).map(str::to_owned);
    let url = fields.get("url").map(|url| url.trim().to_owned());
    let at = Selection::of_project(&sent.project_id, Tab::Deliveries);
    match app.backend.with(|state| state.resend(id, Resend { url, body })) {
        Ok(delivery) => show(at.opening(delivery.id)),
        Err(error) => Err(refuse(&app, "resend", at.opening(id), fields, error)),
    }
}

/// The project is empty for all projects.
async fn resend_failed(State(app): Shared, Form(fields): Form<Fields>) -> RedirectResult {
    let project = fields.get("project").unwrap_or_default();
    let of = Some(project).filter(|id| !id.is_empty());
    app.backend.with(|state| state.resend_failed(of))?;
    show(Selection::of_project(project, Tab::Deliveries))
}
