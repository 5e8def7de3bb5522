use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use askama::{Template, filters::HtmlSafe};
use axum::{
    Router,
    extract::{Query, State},
    routing::get,
};
use bondify_core::{Cancelled, Confirmed, SIGNATURE_HEADER};

use super::{
    attempts::{Bar, Difference, reason, result},
    body::Body,
    fields::{Fields, FormName, Refused},
    markup::{Countdown, Moment, Span},
    result::{PageResult, Refusal, html},
    selection::{Progress, Selection, Tab},
};
use crate::{
    Cause, Delivery, DeliveryState, Error, Fault, Outcome, Plan, Project, Session, SessionStatus,
    app::App, state,
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/", get(page))
}

/// The content of the inspector for one selection.
pub(super) struct View {
    selection: Selection,
    url: String,
    projects: Vec<Arc<Project>>,
    project: Option<Arc<Project>>,
    sessions: Vec<SessionRow>,
    deliveries: Vec<DeliveryRow>,
    keep_deliveries: usize,
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

async fn page(State(app): State<Arc<App>>, Query(selection): Query<Selection>) -> PageResult {
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
    if let (FormName::Resend, Some(detail)) = (refused.form, &mut view.detail) {
        detail.entered = Some(refused.fields.clone());
    }
    view.refused = Some(refused);
    Refusal::on(&Page { view }, error)
}

impl View {
    /// The maximum number of sessions in the list.
    const MAX_SESSIONS: usize = 100;

    pub(super) fn new(app: &App, selection: Selection) -> Result<Self, Error> {
        let mut view = app.backend.with(|state, now| {
            let project = selection.find(state.projects()).cloned();
            if project.is_none() && !selection.project.is_empty() {
                return Err(Error::ProjectNotFound);
            }
            let sessions = match selection.tab {
                Tab::Settings => Vec::new(),
                Tab::Deliveries | Tab::Sessions => state.sessions(now),
            };
            let wanted = sessions.into_iter().filter(|session| {
                let is_listed =
                    selection.tab == Tab::Sessions || session.status == SessionStatus::Pending;
                is_listed && selection.has_session(session)
            });
            let row = |session| SessionRow::new(state, &selection, session, now);
            Ok(Self {
                sessions: wanted.take(Self::MAX_SESSIONS).map(row).collect(),
                deliveries: Vec::new(),
                projects: state.projects().to_vec(),
                project,
                keep_deliveries: state.keep_deliveries(),
                events: BTreeSet::new(),
                detail: match &*selection.delivery {
                    "" => None,
                    _ => Some(Detail::new(state, &selection, now)?),
                },
                secret_is_shown: false,
                refused: None,
                url: app.url.clone(),
                selection: selection.clone(),
            })
        })?;
        if view.selection.tab == Tab::Deliveries {
            view.list_deliveries(app);
        }
        Ok(view)
    }

    /// Filters the deliveries. Bodies are searched without holding the lock on the state.
    fn list_deliveries(&mut self, app: &App) {
        let all: Vec<_> = app.backend.with(|state, _| state.deliveries().cloned().collect());
        let known = [Confirmed::NAME, Cancelled::NAME, Fault::UNKNOWN_EVENT].map(str::to_owned);
        let happened = all.iter().map(|delivery| delivery.event.clone());
        self.events = happened.chain(known).collect();
        let wanted = all.into_iter().filter(|delivery| self.selection.has_delivery(delivery));
        self.deliveries = wanted
            .map(|delivery| {
                let project = self.projects.iter().find(|p| p.id == delivery.project_id);
                let project = project.filter(|_| self.names_projects());
                DeliveryRow::new(&self.selection, delivery, project.cloned())
            })
            .collect();
    }

    /// Whether the rows name their projects.
    fn names_projects(&self) -> bool {
        self.project.is_none()
    }

    fn pending(&self) -> impl Iterator<Item = SessionRow> {
        self.sessions.iter().map(|row| row.clone().among("pending"))
    }

    /// The title and the address of each tab, and whether it is selected.
    fn tabs(&self) -> [(&'static str, String, bool); 3] {
        let link =
            |tab: Tab| (tab.title(), self.selection.on(tab).address(), tab == self.selection.tab);
        Tab::ALL.map(link)
    }

    fn all_projects(&self) -> String {
        Selection::default().on(self.selection.tab).address()
    }

    fn of_project(&self, project: &Project) -> String {
        Selection::of_project(&project.id, self.selection.tab).address()
    }

    /// The text of a project in a list that has room for one line.
    fn label(&self, project: &Project) -> String {
        const MAX_CHARS: usize = 40;
        let mut label: String = project.name.chars().take(MAX_CHARS).collect();
        if project.name.chars().nth(MAX_CHARS).is_some() {
            label.push('…');
        }
        if !project.active {
            label.push_str(" · inactive");
        }
        match project.faults.len() {
            0 => {}
            1 => label.push_str(" · 1 fault"),
            count => label.push_str(&format!(" · {count} faults")),
        }
        label
    }

    fn is_selected(&self, project: &Project) -> bool {
        self.project.as_ref().is_some_and(|selected| selected.id == project.id)
    }

    /// The input of this form, if it was refused.
    fn entered(&self, form: FormName) -> Option<&Fields> {
        self.refused.as_ref().filter(|refused| refused.form == form).map(|refused| &refused.fields)
    }

    /// The text that was entered for a new project.
    fn new_project(&self, name: &str) -> &str {
        self.entered(FormName::NewProject).and_then(|fields| fields.get(name)).unwrap_or_default()
    }

    fn webhook_url(&self) -> &str {
        if let Some(fields) = self.entered(FormName::Webhook) {
            return fields.get("webhook_url").unwrap_or_default();
        }
        let project = self.project.as_ref();
        project.and_then(|project| project.webhook_url.as_ref()).map_or("", |url| url.as_str())
    }
}

/// A delivery in a list.
#[derive(Template)]
#[template(path = "delivery_row.html")]
pub(super) struct DeliveryRow {
    delivery: Arc<Delivery>,
    /// Its project; `None` on a page of one project.
    project: Option<Arc<Project>>,
    href: String,
    is_open: bool,
}

impl HtmlSafe for DeliveryRow {}

impl DeliveryRow {
    pub(super) fn new(
        selection: &Selection,
        delivery: Arc<Delivery>,
        project: Option<Arc<Project>>,
    ) -> Self {
        Self {
            href: selection.opening(&delivery).address(),
            is_open: selection.open() == Some(delivery.id),
            project,
            delivery,
        }
    }

    /// The name of the user, if the event has one.
    fn person(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Named {
            telegram_name: Option<String>,
        }
        serde_json::from_str::<Named>(&self.delivery.body).ok()?.telegram_name
    }

    fn token(&self) -> String {
        short(&self.delivery.session_token)
    }

    fn result(&self) -> String {
        self.delivery.attempts.last().map(|last| result(&last.outcome)).unwrap_or_default()
    }

    fn reason(&self) -> Option<String> {
        self.delivery.attempts.last().and_then(|last| reason(&last.outcome))
    }

    fn duration(&self) -> String {
        let last = self.delivery.attempts.last();
        last.map(|last| Span::of(&last.duration).to_string()).unwrap_or_default()
    }

    fn progress(&self) -> &'static str {
        Progress::of(&self.delivery).name()
    }
}

/// A session in a list.
#[derive(Clone, Template)]
#[template(path = "session_row.html")]
pub(super) struct SessionRow {
    session: Session,
    /// Its project; `None` on a page of a single project.
    project: Option<Arc<Project>>,
    deliveries: String,
    now: SystemTime,
    list: &'static str,
}

impl HtmlSafe for SessionRow {}

impl SessionRow {
    pub(super) fn new(
        state: &state::State,
        selection: &Selection,
        session: Session,
        now: SystemTime,
    ) -> Self {
        let is_named = selection.find(state.projects()).is_none();
        let project = state.project(&session.project_id).ok().filter(|_| is_named);
        let of_session = Selection { text: session.token.clone(), ..selection.on(Tab::Deliveries) };
        Self {
            project: project.cloned(),
            deliveries: of_session.address(),
            session,
            now,
            list: "sessions",
        }
    }

    /// Moves the row to the list of this name.
    pub(super) fn among(self, list: &'static str) -> Self {
        Self { list, ..self }
    }

    pub(super) fn is_pending(&self) -> bool {
        self.session.status == SessionStatus::Pending
    }
}

/// All details of a delivery.
#[derive(Template)]
#[template(path = "delivery.html")]
pub(super) struct Detail {
    delivery: Arc<Delivery>,
    project: Arc<Project>,
    selection: Selection,
    now: SystemTime,
    /// The input of the resend that was refused.
    entered: Option<Fields>,
}

impl HtmlSafe for Detail {}

impl Detail {
    pub(super) fn new(
        state: &state::State,
        selection: &Selection,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let id = selection.open().ok_or(Error::DeliveryNotFound)?;
        let delivery = Arc::clone(state.delivery(id)?);
        let project = Arc::clone(state.project(&delivery.project_id)?);
        Ok(Self { delivery, project, selection: selection.clone(), now, entered: None })
    }

    fn progress(&self) -> &'static str {
        Progress::of(&self.delivery).name()
    }

    fn body(&self) -> Body<'_> {
        Body::new(&self.delivery.body)
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
        let original = Selection { delivery: id.to_string(), ..self.selection.clone() };
        Some((why, id.to_string(), original.address()))
    }

    /// The address of the file with the delivery.
    fn export(&self, format: &str) -> String {
        let delivery = self.delivery.id.to_string();
        Selection { delivery, ..Selection::default() }.export(format)
    }

    /// The time line of the attempts.
    fn bars(&self) -> Vec<Bar> {
        Bar::all(&self.delivery)
    }

    /// The parts in which the answers differ; `None` if there is nothing to compare.
    fn differences(&self) -> Option<Vec<Difference>> {
        let attempts = &self.delivery.attempts;
        (attempts.len() > 1).then(|| Difference::all(attempts))
    }

    fn next_attempt(&self) -> Option<&SystemTime> {
        match &self.delivery.state {
            DeliveryState::Queued { due } => Some(due),
            _ => None,
        }
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
            let delay = match set.unwrap_or(&kind) {
                Fault::Delay(delay) => Some(delay.as_millis().to_string()),
                _ => None,
            };
            match entered {
                None => Self { fault: kind, is_on: set.is_some(), delay_ms: delay },
                Some(fields) => Self {
                    fault: kind,
                    is_on: fields.all("fault").any(|name| name == kind.name()),
                    delay_ms: delay.map(|_| fields.get("delay_ms").unwrap_or_default().to_owned()),
                },
            }
        };
        Fault::ALL.map(switch).into()
    }
}

fn title(fault: &Fault) -> &'static str {
    match fault {
        Fault::Duplicate => "Duplicate",
        Fault::ConcurrentDuplicate => "Concurrent duplicate",
        Fault::Delay(_) => "Delay",
        Fault::TamperedBody => "Tampered body",
        Fault::WrongSecret => "Wrong secret",
        Fault::StaleTimestamp => "Stale timestamp",
        Fault::UnknownEvent => "Unknown event",
        Fault::DropConnection => "Drop the connection",
        Fault::Unreachable => "Unreachable",
    }
}

const PLANS: [(Plan, &str); 3] =
    [(Plan::Hobby, "hobby"), (Plan::Pro, "pro"), (Plan::Business, "business")];
