use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    extract::State,
    http::{
        Method,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    routing::post,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tower_http::cors::{Any, CorsLayer};

use crate::{
    Confirmation, Error, Project, Reading, Session, SessionStatus,
    app::{Answer, App, Input, Shared},
    clock::unix_ms,
};

/// The public session API, for browsers of any origin.
pub(crate) fn routes() -> Router<Arc<App>> {
    let any_origin = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST])
        .allow_headers([CONTENT_TYPE])
        .expose_headers([RETRY_AFTER]);
    Router::new()
        .route("/api/v1/generate/public", post(generate))
        .route("/api/v1/verify/public", post(verify))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(any_origin)
}

#[derive(Deserialize)]
struct GenerateRequest {
    project_id: String,
}

async fn generate(
    State(app): Shared,
    Input(GenerateRequest { project_id }): Input<GenerateRequest>,
) -> Answer {
    let session = app.backend.with(|state| {
        state.admit(&project_id)?;
        state.generate(&project_id)
    })?;
    app.answer(json!({
        "session_token": session.token,
        "deeplink": app.deeplink(&session.token),
        "expires_at": unix_ms(session.expires_at),
    }))
}

#[derive(Deserialize)]
struct VerifyRequest {
    project_id: String,
    session_token: String,
}

async fn verify(
    State(app): Shared,
    Input(VerifyRequest { project_id, session_token }): Input<VerifyRequest>,
) -> Answer {
    app.backend.with(|state| {
        state.admit(&project_id)?;
        let mut session = state.session(&session_token)?;
        if session.project_id != project_id {
            return Err(Error::SessionNotFound);
        }
        let has_codes = app.readings.has(Reading::EndCodes);
        match session.status {
            SessionStatus::Expired if has_codes => return Err(Error::SessionExpired),
            SessionStatus::Cancelled { .. } if has_codes => return Err(Error::SessionCancelled),
            SessionStatus::Confirmed(_) if app.readings.has(Reading::UsedAtOnce) => {
                state.use_proof(&session_token)?;
            }
            _ => {}
        }
        let (now, project) = (state.now, state.project(&project_id)?);
        if project.bare_used && matches!(session.status, SessionStatus::Used(_)) {
            return app.answer(json!({"status": "used"}));
        }
        if let SessionStatus::Confirmed(by) | SessionStatus::Used(by) = &mut session.status {
            by.persona = project.share(by.persona.clone());
        }
        let mut answer = json!(session.status);
        if let Some(by) = session.confirmation() {
            answer["proof"] = proof(project, &session, by, now).into();
        }
        app.answer(answer)
    })
}

/// The proof of a confirmation: a JWT, signed with the project's webhook secret.
fn proof(project: &Project, session: &Session, by: &Confirmation, now: SystemTime) -> String {
    const LIFETIME: Duration = Duration::from_secs(5 * 60);
    #[derive(Serialize)]
    struct Claims<'a> {
        #[serde(flatten)]
        by: &'a Confirmation,
        project_id: &'a str,
        session_token: &'a str,
        iat: u64,
        exp: u64,
    }
    let iat = unix_ms(now) / 1000;
    let (project_id, session_token) = (&project.id, &session.token);
    let claims = Claims { by, project_id, session_token, iat, exp: iat + LIFETIME.as_secs() };
    project.secret().sign_proof(&claims).expect("claims are plain data")
}
