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
    Error, Login, Project, ProjectSettings, Reading, Session,
    analytics::Analytics,
    app::{App, Input},
    clock::unix_ms,
    project::null_as_empty,
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

/// Returns the developer token. The SDKs and the documentation name this call and say that its token is a
/// JWT, but not which fields it takes and returns.
async fn login(State(app): State<Arc<App>>) -> Json<Value> {
    app.answer(json!({"token": app.developer_token}))
}

const DEVELOPER_ID: &str = "dev_emulator";

const EMAIL: &str = "developer@localhost";

async fn me(_: Developer, State(app): State<Arc<App>>) -> Json<Value> {
    app.backend.with(|state, now| {
        let plan = state.projects().iter().map(|project| project.plan).max();
        let current = Analytics::of(&state.sessions(now), 30, now).unique_users;
        let over = current.saturating_sub(MONTHLY_USERS);
        let created_at = state.projects().iter().map(|project| project.created_at).min();
        let sdk = json!({"developer": {
            "developer_id": DEVELOPER_ID,
            "email": EMAIL,
            "plan": plan.unwrap_or_default(),
            "mau": {"current": current, "limit": MONTHLY_USERS, "over": over},
        }});
        let created_at = unix_ms(created_at.unwrap_or(now));
        let docs = json!({"id": DEVELOPER_ID, "email": EMAIL, "created_at": created_at});
        app.answer(app.readings.named(json!({}), sdk, docs))
    })
}

async fn projects(_: Developer, State(app): State<Arc<App>>) -> Json<Value> {
    app.backend.with(|state, now| {
        let sessions = state.sessions(now);
        let shown = |project: &Arc<Project>| {
            let own = || sessions.iter().filter(|session| session.project_id == project.id);
            let both = json!({
                "name": project.name,
                "webhook_url": project.webhook_url,
                "public_access": project.public_access,
                "req_phone": project.req_phone,
                "created_at": unix_ms(project.created_at),
                "sessions_count": own().count(),
                "confirmed_count": own().filter(|session| session.login().is_some()).count(),
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

/// The settings of a project. `bot_token` is ignored, because the emulator is the bot.
#[derive(Deserialize)]
struct Settings {
    name: Option<String>,
    #[serde(default, deserialize_with = "null_as_empty")]
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
    Ok(app.answer(app.readings.named(json!({}), sdk, docs)))
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
    Ok(Json(json!({"secret_key": project.reveal_secret_key()})))
}

async fn webhook_secret(
    _: Developer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Error> {
    let project = app.backend.with(|state, _| state.project(&id).cloned())?;
    Ok(Json(json!({"webhook_secret": project.reveal_secret()})))
}

/// The only project that a list shows.
#[derive(Deserialize)]
struct Filter {
    project_id: Option<String>,
}

async fn sessions(
    _: Developer,
    State(app): State<Arc<App>>,
    Query(Filter { project_id }): Query<Filter>,
) -> Result<Json<Value>, Error> {
    app.backend.with(|state, now| {
        let sessions = state.sessions_of(project_id.as_deref(), now)?;
        let sessions: Vec<_> = sessions.iter().map(|session| shown(session, state)).collect();
        let mut list = json!({"sessions": sessions});
        if app.readings.has(Reading::Pages) {
            list["has_more"] = (sessions.len() > Reading::PAGE).into();
            list["sessions"] = sessions.into_iter().take(Reading::PAGE).collect();
        }
        Ok(app.answer(list))
    })
}

fn shown(session: &Session, state: &Bondify) -> Value {
    let project = state.project(&session.project_id);
    let login = session.login();
    let persona = login.map(|login| &login.persona);
    json!({
        "session_token": session.token,
        "project_id": session.project_id,
        "project_name": project.map_or("", |project| &project.name),
        "status": session.status.name(),
        "telegram_id": persona.map(|persona| &persona.telegram_id),
        "telegram_name": persona.map(|persona| &persona.telegram_name),
        "telegram_username": persona.map(|persona| &persona.telegram_username),
        "created_at": unix_ms(session.created_at),
        "confirmed_at": login.map(Login::confirmed_at_ms),
    })
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
    let days = match days.as_deref().unwrap_or("7") {
        "7" => 7,
        "14" => 14,
        "30" => 30,
        "90" => 90,
        _ => return Err(Error::BadRequest("days must be 7, 14, 30 or 90")),
    };
    let project_id = project_id.filter(|id| !id.is_empty());
    app.backend.with(|state, now| {
        let sessions = state.sessions_of(project_id.as_deref(), now)?;
        let mut analytics = json!(Analytics::of(&sessions, days, now));
        let projects = state.projects().iter();
        let projects = projects.map(|project| json!({"id": project.id, "name": project.name}));
        analytics["projects"] = projects.collect();
        Ok(app.answer(analytics))
    })
}
