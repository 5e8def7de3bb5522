use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use askama::{Template, filters::HtmlSafe};
use axum::{
    Router,
    extract::{Query, State},
    routing::get,
};
use bondify_core::{Cancelled, Confirmed, SIGNATURE_HEADER};
use serde_json::Value;

use super::{
    attempts::{Bar, Difference, reason},
    body::{hex, pretty},
    fields::{Fields, Refused},
    markup::{Countdown, Moment, Span},
    result::{PageResult, Refusal, html},
    selection::{PROGRESS, Selection, Tab, progress},
};
use crate::{
    Cause, Delivery, DeliveryState, Error, Fault, Outcome, Plan, Project, Session,
    app::{App, Shared},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/", get(page))
}

/// The content of the inspector for one selection.
pub(super) struct View {
    selection: Selection,
    url: String,
    projects: Vec<Arc<Project>>,
    /// The only project that is shown; `None` if rows name their projects.
    project: Option<Arc<Project>>,
    sessions: Vec<SessionRow>,
    deliveries: Vec<DeliveryRow>,
    /// The number of deliveries that the emulator keeps.
    kept: usize,
    events: BTreeSet<String>,
    detail: Option<Detail>,
    secret_is_shown: bool,
    refused: Option<Refused>,
}

#[derive(Template)]
#[template(path = "inspector.html")]
struct Page {
    view: View,
}

/// The live parts of the inspector.
#[derive(Template)]
#[template(path = "live.html")]
pub(super) struct Live {
    pub(super) view: View,
}

async fn page(State(app): Shared, Query(selection): Query<Selection>) -> PageResult {
    html(&Page { view: View::new(&app, selection)? })
}

/// The settings page with the secret shown.
pub(super) fn page_with_secret(app: &App, project_id: &str) -> PageResult {
    let view = View::new(app, Selection::of_project(project_id, Tab::Settings))?;
    html(&Page { view: View { secret_is_shown: true, ..view } })
}

/// The page of this selection with a form that was refused.
pub(super) fn refusal(app: &App, selection: Selection, refused: Refused) -> Refusal {
    let error = refused.error.clone();
    let Ok(mut view) = View::new(app, selection) else { return error.into() };
    if let ("resend", Some(detail)) = (&*refused.form, &mut view.detail) {
        detail.entered = Some(refused.fields.clone());
    }
    view.refused = Some(refused);
    Refusal::on(&Page { view }, error)
}

impl View {
    /// The maximum number of sessions in the list.
    const MAX_SESSIONS: usize = 100;

    /// Filters and searches without holding the lock on the state.
    pub(super) fn new(app: &App, selection: Selection) -> Result<Self, Error> {
        let (projects, sessions, deliveries, kept, now) = app.backend.with(|state| {
            let deliveries: Vec<_> = state.deliveries().cloned().collect();
            let kept = state.rules.keep_deliveries;
            (state.projects().to_vec(), state.sessions(), deliveries, kept, state.now)
        });
        let project = selection.find(&projects)?;
        let detail = Detail::of(&selection, &projects, &deliveries, now)?;
        let named = |id: &str| {
            let of_id = projects.iter().find(|project| project.id == id);
            of_id.filter(|_| project.is_none()).cloned()
        };
        let sessions = sessions.into_iter().filter(|session| selection.has_session(session));
        let session_row = |session: Session| SessionRow {
            project: named(&session.project_id),
            deliveries: Selection { text: session.token.clone(), ..selection.on(Tab::Deliveries) },
            list: if selection.tab == Tab::Sessions { "sessions" } else { "pending" },
            session,
            now,
        };
        let known = [Confirmed::NAME, Cancelled::NAME, Fault::UNKNOWN_EVENT].map(str::to_owned);
        let happened = deliveries.iter().map(|delivery| delivery.event.clone());
        let events = happened.chain(known).collect();
        let is_listed = |delivery: &Arc<Delivery>| {
            selection.tab == Tab::Deliveries && selection.has_delivery(delivery)
        };
        let delivery_row = |delivery: Arc<Delivery>| DeliveryRow {
            href: selection.opening(delivery.id).address(),
            is_open: selection.open() == Some(delivery.id),
            project: named(&delivery.project_id),
            delivery,
        };
        Ok(Self {
            sessions: sessions.take(Self::MAX_SESSIONS).map(session_row).collect(),
            deliveries: deliveries.into_iter().filter(is_listed).map(delivery_row).collect(),
            kept,
            events,
            detail,
            secret_is_shown: false,
            refused: None,
            url: app.url.clone(),
            project,
            projects,
            selection,
        })
    }

    /// The name and the address of each tab, and whether it is selected.
    fn tabs(&self) -> [(&'static str, String, bool); 3] {
        Tab::ALL
            .map(|tab| (tab.name(), self.selection.on(tab).address(), tab == self.selection.tab))
    }

    /// The address of this tab for one project, or for all if the id is empty.
    fn of_project(&self, id: &str) -> String {
        Selection::of_project(id, self.selection.tab).address()
    }

    fn is_selected(&self, project: &Project) -> bool {
        self.project.as_ref().is_some_and(|selected| selected.id == project.id)
    }

    /// The input of this form, if it was refused.
    fn entered(&self, form: &str) -> Option<&Fields> {
        self.refused.as_ref().filter(|refused| refused.form == form).map(|refused| &refused.fields)
    }

    /// The text that was entered for a new project.
    fn new_project(&self, name: &str) -> &str {
        self.entered("projects").and_then(|fields| fields.get(name)).unwrap_or_default()
    }

    fn webhook_url(&self) -> &str {
        let entered = self.entered("webhook").and_then(|fields| fields.get("webhook_url"));
        let set = self.project.as_ref().and_then(|project| project.webhook_url.as_ref());
        entered.or(set.map(|url| url.as_str())).unwrap_or_default()
    }
}

/// A delivery in a list.
#[derive(Template)]
#[template(path = "delivery_row.html")]
struct DeliveryRow {
    delivery: Arc<Delivery>,
    /// Its project; `None` on a page of one project.
    project: Option<Arc<Project>>,
    href: String,
    is_open: bool,
}

impl HtmlSafe for DeliveryRow {}

impl DeliveryRow {
    /// The name of the user, if the event has one.
    fn person(&self) -> Option<String> {
        let event: Value = serde_json::from_str(&self.delivery.body).ok()?;
        event["telegram_name"].as_str().map(str::to_owned)
    }
}

/// A session in a list.
#[derive(Template)]
#[template(path = "session_row.html")]
struct SessionRow {
    session: Session,
    /// Its project; `None` on a page of a single project.
    project: Option<Arc<Project>>,
    deliveries: Selection,
    now: SystemTime,
    list: &'static str,
}

impl HtmlSafe for SessionRow {}

/// All details of a delivery.
#[derive(Template)]
#[template(path = "delivery.html")]
struct Detail {
    delivery: Arc<Delivery>,
    project: Arc<Project>,
    selection: Selection,
    now: SystemTime,
    /// The input of the resend that was refused.
    entered: Option<Fields>,
}

impl HtmlSafe for Detail {}

impl Detail {
    /// The delivery that is open, if one is.
    fn of(
        selection: &Selection,
        projects: &[Arc<Project>],
        deliveries: &[Arc<Delivery>],
        now: SystemTime,
    ) -> Result<Option<Self>, Error> {
        if selection.delivery.is_empty() {
            return Ok(None);
        }
        let open = deliveries.iter().find(|delivery| selection.open() == Some(delivery.id));
        let delivery = Arc::clone(open.ok_or(Error::DeliveryNotFound)?);
        let project = projects.iter().find(|project| project.id == delivery.project_id);
        let project = Arc::clone(project.ok_or(Error::ProjectNotFound)?);
        Ok(Some(Self { delivery, project, selection: selection.clone(), now, entered: None }))
    }

    /// The input of a field of the resend that was refused, or else `sent`.
    fn entered_or<'a>(&'a self, name: &str, sent: &'a str) -> &'a str {
        self.entered.as_ref().and_then(|fields| fields.get(name)).unwrap_or(sent)
    }

    /// The delivery that this one repeats: the reason, the id and the address.
    fn original(&self) -> Option<(&'static str, String, String)> {
        let (why, id) = match self.delivery.cause {
            Cause::Resend(id) => ("Resent", id),
            Cause::Duplicate(id) => ("Duplicate, on purpose", id),
            Cause::Session | Cause::Test => return None,
        };
        Some((why, id.to_string(), self.selection.opening(id).address()))
    }

    /// The address of the file with the delivery.
    fn export(&self, format: &str) -> String {
        Selection::default().opening(self.delivery.id).export(format)
    }
}

/// A session token without its middle.
fn short(token: &str) -> String {
    let chars: Vec<_> = token.chars().collect();
    match chars.len() {
        0..=14 => token.to_owned(),
        count => chars[..5].iter().chain(['…'].iter()).chain(&chars[count - 6..]).collect(),
    }
}

/// The switch of a fault, with the delay that is set or the default delay.
struct FaultSwitch {
    fault: Fault,
    is_on: bool,
    delay_ms: Option<String>,
}

impl FaultSwitch {
    /// The switches of a project, or as they were entered in the form that was refused.
    fn all(project: &Project, entered: Option<&Fields>) -> Vec<Self> {
        let switch = |kind: Fault| {
            let set = project.faults.iter().find(|fault| fault.name() == kind.name());
            let delay_ms = match set.unwrap_or(&kind) {
                Fault::Delay(delay) => Some(delay.as_millis().to_string()),
                _ => None,
            };
            let Some(fields) = entered else {
                return Self { fault: kind, is_on: set.is_some(), delay_ms };
            };
            let is_on = fields.all("fault").any(|name| name == kind.name());
            let entered_ms = fields.get("delay_ms").unwrap_or_default();
            Self { fault: kind, is_on, delay_ms: delay_ms.map(|_| entered_ms.to_owned()) }
        };
        Fault::ALL.map(switch).into()
    }
}

fn title(fault: &Fault) -> String {
    fault.name().replace('-', " ")
}

const PLANS: [(Plan, &str); 3] =
    [(Plan::Hobby, "hobby"), (Plan::Pro, "pro"), (Plan::Business, "business")];
