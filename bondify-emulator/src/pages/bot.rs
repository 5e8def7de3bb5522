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
    fields::Fields,
    markup::{Countdown, Moment},
    qr::Qr,
    result::{PageResult, Refusal, html},
    selection::Selection,
};
use crate::{
    Error, Persona, Project, Session, SessionStatus,
    app::{App, Shared},
    guard::host,
    local::is_local,
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
    /// The input that was refused, and the error.
    refused: Option<(Fields, Error)>,
}

async fn page(
    State(app): Shared,
    Query(Start { start }): Query<Start>,
    headers: HeaderMap,
) -> PageResult {
    html(&BotPage::new(&app, &start, &headers)?)
}

/// Confirms or cancels a pending session, and shows its status.
async fn decide(
    State(app): Shared,
    Query(Start { start }): Query<Start>,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Result<Redirect, Refusal> {
    let decided = match fields.get("tap") {
        Some("confirm") => {
            persona(&fields).and_then(|by| app.backend.with(|state| state.confirm(&start, by)))
        }
        Some("cancel") => app.backend.with(|state| state.cancel(&start)),
        _ => Err(Error::BadRequest("tap must be confirm or cancel")),
    };
    match decided {
        Ok(_) | Err(Error::SessionNotPending(_)) => Ok(Redirect::to(&app.deeplink_path(&start))),
        Err(error) => {
            let refused = Some((fields, error.clone()));
            let page = BotPage { refused, ..BotPage::new(&app, &start, &headers)? };
            Err(Refusal::on(&page, error))
        }
    }
}

/// The sample persona that was chosen, or the one that is described.
fn persona(fields: &Fields) -> Result<Persona, Error> {
    let text = |name| fields.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
    match fields.get("persona").unwrap_or_default() {
        "own" => Ok(Persona {
            telegram_id: text("telegram_id").unwrap_or_default(),
            telegram_name: text("telegram_name").unwrap_or_default(),
            telegram_username: text("telegram_username"),
            telegram_phone: text("telegram_phone"),
        }),
        id => {
            let sample = Persona::samples().into_iter().find(|p| p.telegram_id == id);
            sample.ok_or(Error::BadRequest("unknown persona"))
        }
    }
}

impl BotPage {
    fn new(app: &App, start: &str, headers: &HeaderMap) -> Result<Self, Error> {
        let host = host(headers).ok_or(Error::ForbiddenHost)?;
        let (project, session, now) = app.backend.with(|state| {
            let session = state.session(start)?;
            let project = Arc::clone(state.project(&session.project_id)?);
            Ok::<_, Error>((project, session, state.now))
        })?;
        Ok(Self {
            link: format!("http://{host}{}", app.deeplink_path(&session.token)),
            is_local: is_local(host.host()),
            personas: Persona::samples(),
            refused: None,
            project,
            session,
            now,
        })
    }

    /// The input of a field that was refused, or else `preset`.
    fn entered_or<'a>(&'a self, name: &str, preset: &'a str) -> &'a str {
        let entered = self.refused.as_ref().and_then(|(fields, _)| fields.get(name));
        entered.unwrap_or(preset)
    }

    /// Whether the persona with this value is chosen; the first one unless another was entered.
    fn is_chosen(&self, value: &str) -> bool {
        self.entered_or("persona", &self.personas[0].telegram_id) == value
    }

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
