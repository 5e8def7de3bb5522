use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, Query, State},
    http::{header::AUTHORIZATION, request::Parts},
    routing::{get, patch, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Error, Project, ProjectSettings, Session,
    analytics::Analytics,
    app::{App, Input},
    clock::unix_ms,
    state::State as Bondify,
};

/// The developer API: the functions of the dashboard, with the developer token.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/dev/me", get(me))
        .route("/api/v1/dev/projects", get(projects).post(create))
        .route("/api/v1/dev/projects/{id}", patch(update).delete(delete))
        .route("/api/v1/dev/projects/{id}/regenerate", post(regenerate))
        .route("/api/v1/dev/projects/{id}/webhook-secret", get(webhook_secret))
        .route("/api/v1/dev/sessions", get(sessions))
        .route("/api/v1/dev/analytics", get(analytics))
}

/// Proof that the request carries the developer token. Handlers take it as the first argument.
struct Developer;

impl FromRequestParts<Arc<App>> for Developer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = header.and_then(|value| value.split_once(' ')).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") || token.trim() != app.developer_token {
            return Err(Error::Unauthorized);
        }
        Ok(Self)
    }
}

/// The limit of users a month. Bondify does not document its limits.
const MONTHLY_USERS: usize = 1_000;

async fn me(_: Developer, State(app): State<Arc<App>>) -> Json<Value> {
    app.backend.with(|state, now| {
        let plan = state.projects().iter().map(|project| project.plan).max();
        let current = Analytics::of(&state.sessions(now), 30, now).unique_users;
        let over = current > MONTHLY_USERS;
        Json(json!({"developer": {
            "developer_id": "dev_emulator",
            "email": "developer@localhost",
            "plan": plan.unwrap_or_default(),
            "mau": {"current": current, "limit": MONTHLY_USERS, "over": over},
        }}))
    })
}

async fn projects(_: Developer, State(app): State<Arc<App>>) -> Json<Value> {
    app.backend.with(|state, now| {
        let sessions = state.sessions(now);
        let shown = |project: &Arc<Project>| {
            let own = || sessions.iter().filter(|session| session.project_id == project.id);
            json!({
                "project_id": project.id,
                "name": project.name,
                "webhook_url": project.webhook_url,
                "active": project.active,
                "public_access": project.public_access,
                "req_phone": project.req_phone,
                "secret_preview": project.secret_preview(),
                "created_at": unix_ms(project.created_at),
                "sessions_count": own().count(),
                "confirmed_count": own().filter(|session| session.login().is_some()).count(),
            })
        };
        let projects: Vec<_> = state.projects().iter().map(shown).collect();
        Json(json!({"projects": projects}))
    })
}

/// The settings of a project. `bot_token` is ignored, because the emulator is the bot.
#[derive(Deserialize)]
struct Settings {
    name: Option<String>,
    webhook_url: Option<String>,
    active: Option<bool>,
    public_access: Option<bool>,
    req_phone: Option<bool>,
    #[serde(rename = "bot_token")]
    _bot_token: Option<String>,
}

impl From<Settings> for ProjectSettings {
    fn from(settings: Settings) -> Self {
        let Settings { name, webhook_url, active, public_access, req_phone, _bot_token } = settings;
        Self { name, webhook_url, active, public_access, req_phone, ..Self::new() }
    }
}

async fn create(
    _: Developer,
    State(app): State<Arc<App>>,
    Input(settings): Input<Settings>,
) -> Result<Json<Value>, Error> {
    if settings.name.is_none() {
        return Err(Error::BadRequest("name is missing"));
    }
    let project = app.backend.with(|state, now| state.add_project(settings.into(), now))?;
    let (id, secret, name) = (&project.id, project.reveal_secret(), &project.name);
    Ok(Json(json!({"project_id": id, "secret_key": secret, "name": name})))
}

async fn update(
    _: Developer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Input(settings): Input<Settings>,
) -> Result<Json<Value>, Error> {
    app.backend.with(|state, _| state.update_project(&id, settings.into()))?;
    Ok(Json(json!({"ok": true})))
}

async fn delete(
    _: Developer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Error> {
    app.backend.with(|state, _| state.delete_project(&id))?;
    Ok(Json(json!({"ok": true})))
}

async fn regenerate(
    _: Developer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Error> {
    let project = app.backend.with(|state, _| state.rotate_secret(&id))?;
    Ok(Json(json!({"secret_key": project.reveal_secret()})))
}

async fn webhook_secret(
    _: Developer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Error> {
    let project = app.backend.with(|state, _| state.project(&id).cloned())?;
    Ok(Json(json!({"webhook_secret": project.reveal_secret()})))
}

async fn sessions(_: Developer, State(app): State<Arc<App>>) -> Json<Value> {
    app.backend.with(|state, now| {
        let sessions = state.sessions(now);
        let sessions: Vec<_> = sessions.iter().map(|session| shown(session, state)).collect();
        Json(json!({"sessions": sessions}))
    })
}

fn shown(session: &Session, state: &Bondify) -> Value {
    let project = state.project(&session.project_id);
    let mut shown = json!({
        "session_token": session.token,
        "project_id": session.project_id,
        "project_name": project.map_or("", |project| &project.name),
        "status": session.status.name(),
        "created_at": unix_ms(session.created_at),
    });
    if let Some(login) = session.login() {
        shown["telegram_id"] = json!(login.persona.telegram_id);
        shown["telegram_name"] = json!(login.persona.telegram_name);
        shown["telegram_username"] = json!(login.persona.telegram_username);
        shown["confirmed_at"] = json!(unix_ms(login.confirmed_at));
    }
    shown
}

#[derive(Deserialize)]
struct Span {
    days: Option<String>,
    project_id: Option<String>,
}

async fn analytics(
    _: Developer,
    State(app): State<Arc<App>>,
    Query(Span { days, project_id }): Query<Span>,
) -> Result<Json<Value>, Error> {
    let days = match days.as_deref().unwrap_or("30") {
        "7" => 7,
        "30" => 30,
        "90" => 90,
        _ => return Err(Error::BadRequest("days must be 7, 30 or 90")),
    };
    let project_id = project_id.filter(|id| !id.is_empty());
    app.backend.with(|state, now| {
        if let Some(id) = &project_id {
            state.project(id)?;
        }
        let is_selected = |id: &str| project_id.as_ref().is_none_or(|only| only == id);
        let mut sessions = state.sessions(now);
        sessions.retain(|session| is_selected(&session.project_id));
        let mut analytics = json!(Analytics::of(&sessions, days, now));
        let projects = state.projects().iter();
        let projects = projects.map(|project| json!({"id": project.id, "name": project.name}));
        analytics["projects"] = projects.collect();
        Ok(Json(analytics))
    })
}
