use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, Query, State},
    http::{header::AUTHORIZATION, request::Parts},
    routing::{get, patch, post},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    Error, Project, ProjectSettings, Reading, Session,
    analytics::analytics,
    app::{Answer, App, Input, Shared},
    clock::unix_ms,
    state::State as Bondify,
};

/// The developer API: the functions of the dashboard, with the developer token.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/dev/login", post(login))
        .route("/api/v1/dev/me", get(me))
        .route("/api/v1/dev/projects", get(projects).post(create))
        .route("/api/v1/dev/projects/{id}", patch(update).delete(delete))
        .route("/api/v1/dev/projects/{id}/regenerate", post(regenerate))
        .route("/api/v1/dev/projects/{id}/webhook-secret", get(webhook_secret))
        .route("/api/v1/dev/sessions", get(sessions))
        .route("/api/v1/dev/analytics", get(figures))
}

/// The state, for a request that carries the developer token.
struct Developer(Arc<App>);

impl FromRequestParts<Arc<App>> for Developer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = header.and_then(|value| value.split_once(' ')).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") || token.trim() != app.developer_token {
            return Err(Error::Unauthorized);
        }
        Ok(Self(Arc::clone(app)))
    }
}

/// Returns the developer token. The SDKs and the documentation name this call and say that its token is a
/// JWT, but not which fields it takes and returns.
async fn login(State(app): Shared) -> Answer {
    app.answer(json!({"token": app.developer_token}))
}

async fn me(Developer(app): Developer) -> Answer {
    const ID: &str = "dev_emulator";
    const EMAIL: &str = "developer@localhost";
    /// Bondify does not document its limits.
    const MONTHLY_USERS: u64 = 1_000;
    app.backend.with(|state| {
        let plan = state.projects().iter().map(|project| project.plan).max();
        let last_month = analytics(&state.sessions(), 30, state.now);
        let current = last_month["unique_users"].as_u64().unwrap_or_default();
        let over = current.saturating_sub(MONTHLY_USERS);
        let sdk = json!({"developer": {
            "developer_id": ID,
            "email": EMAIL,
            "plan": plan.unwrap_or_default(),
            "mau": {"current": current, "limit": MONTHLY_USERS, "over": over},
        }});
        let created_at = state.projects().iter().map(|project| project.created_at).min();
        let created_at = unix_ms(created_at.unwrap_or(state.now));
        let docs = json!({"id": ID, "email": EMAIL, "created_at": created_at});
        app.answer(app.readings.named(json!({}), sdk, docs))
    })
}

async fn projects(Developer(app): Developer) -> Answer {
    app.backend.with(|state| {
        let sessions = state.sessions();
        let shown = |project: &Arc<Project>| {
            let own = || sessions.iter().filter(|session| session.project_id == project.id);
            let both = json!({
                "name": project.name,
                "webhook_url": project.webhook_url,
                "public_access": project.public_access,
                "req_phone": project.req_phone,
                "created_at": unix_ms(project.created_at),
                "sessions_count": own().count(),
                "confirmed_count": own().filter(|session| session.confirmation().is_some()).count(),
            });
            let (id, active, key) = (&project.id, project.active, project.secret_key.preview());
            let sdk = json!({"project_id": id, "active": active, "secret_preview": key});
            let docs = json!({"id": id, "is_active": active, "secret_key": format!("{key}…")});
            app.readings.named(both, sdk, docs)
        };
        let projects: Vec<_> = state.projects().iter().map(shown).collect();
        app.answer(json!({"projects": projects}))
    })
}

/// Reads the settings of a project. Others are ignored, such as `bot_token`, because the emulator
/// is the bot.
fn settings(mut body: Map<String, Value>) -> Result<ProjectSettings, Error> {
    const KNOWN: [&str; 5] = ["name", "webhook_url", "active", "public_access", "req_phone"];
    body.retain(|name, _| KNOWN.contains(&&**name));
    serde_json::from_value(body.into()).map_err(|_| Error::MALFORMED)
}

async fn create(Developer(app): Developer, Input(body): Input<Map<String, Value>>) -> Answer {
    let settings = settings(body)?;
    if settings.name.is_none() {
        return Err(Error::BadRequest("name is missing"));
    }
    let project = app.backend.with(|state| state.add_project(settings))?;
    let sdk = json!({
        "project_id": project.id,
        "secret_key": project.reveal_secret_key(),
        "name": project.name,
    });
    let docs = json!({
        "id": project.id,
        "webhook_url": project.webhook_url,
        "is_active": project.active,
        "created_at": unix_ms(project.created_at),
    });
    app.answer(app.readings.named(json!({}), sdk, docs))
}

async fn update(
    Developer(app): Developer,
    Path(id): Path<String>,
    Input(body): Input<Map<String, Value>>,
) -> Answer {
    app.backend.with(|state| state.update_project(&id, settings(body)?))?;
    Ok(Json(json!({"ok": true})))
}

async fn delete(Developer(app): Developer, Path(id): Path<String>) -> Answer {
    app.backend.with(|state| state.delete_project(&id))?;
    Ok(Json(json!({"ok": true})))
}

async fn regenerate(Developer(app): Developer, Path(id): Path<String>) -> Answer {
    let project = app.backend.with(|state| state.rotate_secret(&id))?;
    Ok(Json(json!({"secret_key": project.reveal_secret_key()})))
}

async fn webhook_secret(Developer(app): Developer, Path(id): Path<String>) -> Answer {
    let project = app.backend.with(|state| state.project(&id).cloned())?;
    Ok(Json(json!({"webhook_secret": project.reveal_secret()})))
}

/// The part of the sessions that a call is about.
#[derive(Deserialize)]
struct Part {
    project_id: Option<String>,
    days: Option<String>,
}

async fn sessions(Developer(app): Developer, Query(part): Query<Part>) -> Answer {
    app.backend.with(|state| {
        let sessions = state.sessions_of(part.project_id.as_deref())?;
        let sessions: Vec<_> = sessions.iter().map(|session| shown(session, state)).collect();
        let mut list = json!({"sessions": sessions});
        if app.readings.has(Reading::Pages) {
            list["has_more"] = (sessions.len() > Reading::PAGE).into();
            list["sessions"] = sessions.into_iter().take(Reading::PAGE).collect();
        }
        app.answer(list)
    })
}

fn shown(session: &Session, state: &Bondify) -> Value {
    let project = state.project(&session.project_id);
    let confirmation = session.confirmation();
    let persona = confirmation.map(|by| &by.persona);
    json!({
        "session_token": session.token,
        "project_id": session.project_id,
        "project_name": project.map_or("", |project| &project.name),
        "status": session.status.name(),
        "telegram_id": persona.map(|persona| &persona.telegram_id),
        "telegram_name": persona.map(|persona| &persona.telegram_name),
        "telegram_username": persona.map(|persona| &persona.telegram_username),
        "created_at": unix_ms(session.created_at),
        "confirmed_at": confirmation.map(|by| unix_ms(by.confirmed_at)),
    })
}

async fn figures(Developer(app): Developer, Query(part): Query<Part>) -> Answer {
    let asked = part.days.as_deref().unwrap_or("7");
    let days = [7, 14, 30, 90].into_iter().find(|days: &u16| days.to_string() == asked);
    let days = days.ok_or(Error::BadRequest("days must be 7, 14, 30 or 90"))?;
    let project_id = part.project_id.as_deref().filter(|id| !id.is_empty());
    app.backend.with(|state| {
        let mut figures = analytics(&state.sessions_of(project_id)?, days, state.now);
        let projects = state.projects().iter();
        let projects = projects.map(|project| json!({"id": project.id, "name": project.name}));
        figures["projects"] = projects.collect();
        app.answer(figures)
    })
}
