use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{
        Method,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    routing::post,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower_http::cors::{Any, CorsLayer};

use crate::{
    Error, Login, Project, Reading, Session, SessionStatus,
    app::{App, Input},
    clock::unix_ms,
    payload::User,
    proof::Claims,
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
    State(app): State<Arc<App>>,
    Input(GenerateRequest { project_id }): Input<GenerateRequest>,
) -> Result<Json<Value>, Error> {
    let session = app.backend.with(|state, now| {
        state.admit(&project_id, now)?;
        state.generate(&project_id, now)
    })?;
    Ok(app.answer(json!({
        "session_token": session.token,
        "deeplink": app.deeplink(&session.token),
        "expires_at": unix_ms(session.expires_at),
    })))
}

#[derive(Deserialize)]
struct VerifyRequest {
    project_id: String,
    session_token: String,
}

async fn verify(
    State(app): State<Arc<App>>,
    Input(VerifyRequest { project_id, session_token }): Input<VerifyRequest>,
) -> Result<Json<Value>, Error> {
    app.backend.with(|state, now| {
        state.admit(&project_id, now)?;
        let session = state.session(&session_token, now)?;
        if session.project_id != project_id {
            return Err(Error::SessionNotFound);
        }
        match session.status {
            SessionStatus::Expired if app.readings.has(Reading::EndCodes) => {
                return Err(Error::SessionExpired);
            }
            SessionStatus::Cancelled { .. } if app.readings.has(Reading::EndCodes) => {
                return Err(Error::SessionCancelled);
            }
            SessionStatus::Confirmed(_) if app.readings.has(Reading::UsedAtOnce) => {
                state.use_proof(&session_token, now)?;
            }
            _ => {}
        }
        let project = state.project(&project_id)?;
        let proof = |user, login| {
            let claims = Claims::new(&project.id, &session.token, login, user, now);
            claims.sign(project.secret())
        };
        Ok(app.answer(json!(VerifyResponse::new(&session, project, proof))))
    })
}

#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum VerifyResponse<'a> {
    Pending,
    Confirmed(LoginResponse<'a>),
    Cancelled {
        cancelled_at: u64,
    },
    Expired,
    Used {
        #[serde(flatten)]
        login: Option<LoginResponse<'a>>,
    },
}

/// A user who has logged in, and the proof.
#[derive(Serialize)]
struct LoginResponse<'a> {
    #[serde(flatten)]
    user: User<'a>,
    proof: String,
    confirmed_at: u64,
}

impl<'a> VerifyResponse<'a> {
    fn new(
        session: &'a Session,
        project: &Project,
        proof: impl FnOnce(User<'a>, &'a Login) -> String,
    ) -> Self {
        let answer = |login: &'a Login| {
            let user = User::new(&login.persona, project.shares_phone());
            let (proof, confirmed_at) = (proof(user, login), login.confirmed_at_ms());
            LoginResponse { user, proof, confirmed_at }
        };
        match &session.status {
            SessionStatus::Pending => Self::Pending,
            SessionStatus::Expired => Self::Expired,
            SessionStatus::Cancelled { cancelled_at } => {
                Self::Cancelled { cancelled_at: unix_ms(*cancelled_at) }
            }
            SessionStatus::Confirmed(login) => Self::Confirmed(answer(login)),
            SessionStatus::Used(_) if project.bare_used => Self::Used { login: None },
            SessionStatus::Used(login) => Self::Used { login: Some(answer(login)) },
        }
    }
}
