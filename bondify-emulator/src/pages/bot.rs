use std::{sync::Arc, time::SystemTime};

use askama::Template;
use axum::{
    Form, Router,
    extract::{Query, State},
    http::HeaderMap,
    response::Redirect,
    routing::get,
};
use serde::Deserialize;

use super::{
    markup::{Countdown, Moment},
    qr::Qr,
    result::{PageResult, Refusal, html},
    selection::Selection,
};
use crate::{
    Error, Persona, Project, Session, SessionStatus, app::App, guard::host, local::is_local,
};

/// The bot page, which deeplinks open.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/bot", get(page).post(decide))
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    start: String,
}

#[derive(Template)]
#[template(path = "bot.html")]
struct BotPage {
    project: Arc<Project>,
    session: Session,
    personas: Vec<Persona>,
    /// The address of this page, with the host that the browser uses.
    link: String,
    /// Whether only this machine can open the link.
    is_local: bool,
    now: SystemTime,
}

async fn page(
    State(app): State<Arc<App>>,
    Query(Start { start }): Query<Start>,
    headers: HeaderMap,
) -> PageResult {
    let host = host(&headers).ok_or(Error::ForbiddenHost)?;
    let (project, session, now) = app.backend.with(|state, now| {
        let session = state.session(&start, now)?;
        let project = Arc::clone(state.project(&session.project_id)?);
        Ok::<_, Error>((project, session, now))
    })?;
    html(&BotPage {
        link: format!("http://{host}{}", app.deeplink_path(&session.token)),
        is_local: is_local(host.host()),
        personas: Persona::samples(),
        project,
        session,
        now,
    })
}

/// The button that was tapped.
#[derive(Deserialize)]
#[serde(tag = "tap", rename_all = "lowercase")]
enum Tap {
    /// By the sample persona of this id, or by the one that is described.
    Confirm {
        persona: String,
        #[serde(flatten)]
        own: Persona,
    },
    Cancel,
}

/// Confirms or cancels a pending session, and shows its status.
async fn decide(
    State(app): State<Arc<App>>,
    Query(Start { start }): Query<Start>,
    Form(tap): Form<Tap>,
) -> Result<Redirect, Refusal> {
    let decided = match tap {
        Tap::Confirm { persona, own } => {
            let persona = match &*persona {
                "own" => without_empty(own),
                id => {
                    let sample = Persona::samples().into_iter().find(|p| p.telegram_id == id);
                    sample.ok_or(Error::BadRequest("unknown persona"))?
                }
            };
            app.backend.with(|state, now| state.confirm(&start, persona, now))
        }
        Tap::Cancel => app.backend.with(|state, now| state.cancel(&start, now)),
    };
    match decided {
        Ok(session) => Ok(Redirect::to(&app.deeplink_path(&session.token))),
        Err(Error::SessionNotPending(_)) => Ok(Redirect::to(&app.deeplink_path(&start))),
        Err(error) => Err(error.into()),
    }
}

/// The persona, whose fields that are left empty are absent.
fn without_empty(mut persona: Persona) -> Persona {
    for text in [&mut persona.telegram_username, &mut persona.telegram_phone] {
        *text = text.take().filter(|text| !text.is_empty());
    }
    persona
}

impl BotPage {
    /// The address of the inspector with the session's deliveries.
    fn deliveries(&self) -> String {
        let text = self.session.token.clone();
        Selection { text, ..Selection::default() }.address()
    }
}

/// The letter that is shown in place of a picture.
fn initial(name: &str) -> char {
    name.chars().find(|c| !c.is_whitespace()).unwrap_or('?')
}
