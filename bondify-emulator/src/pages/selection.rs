use std::sync::Arc;

use serde::Deserialize;
use url::form_urlencoded::Serializer;

use crate::{Delivery, DeliveryId, DeliveryState, Error, Project, Session, SessionStatus};

/// The filters of the inspector, from the query of its address. An empty value does not filter.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Selection {
    /// The id of the only project to show.
    pub(super) project: String,
    pub(super) tab: Tab,
    /// The only event to show.
    pub(super) event: String,
    /// The only [`progress`] to show.
    pub(super) outcome: String,
    /// A text that the deliveries contain, ignoring case.
    pub(super) text: String,
    /// The id of the open delivery.
    pub(super) delivery: String,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tab {
    #[default]
    #[serde(alias = "")]
    Deliveries,
    Sessions,
    Settings,
}

impl Tab {
    pub(super) const ALL: [Self; 3] = [Self::Deliveries, Self::Sessions, Self::Settings];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries",
            Self::Sessions => "sessions",
            Self::Settings => "settings",
        }
    }
}

pub(super) const PROGRESS: [&str; 5] = ["delivered", "failed", "retrying", "queued", "sending"];

/// The progress of a delivery in a word.
pub(super) fn progress(delivery: &Delivery) -> &'static str {
    match delivery.state {
        DeliveryState::Delivered => "delivered",
        DeliveryState::Failed => "failed",
        DeliveryState::Sending => "sending",
        DeliveryState::Queued { .. } if delivery.attempts.is_empty() => "queued",
        DeliveryState::Queued { .. } => "retrying",
    }
}

impl Selection {
    /// The selected project, or the only one; `None` if all are selected.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`] if there is no such project.
    pub(super) fn find(&self, projects: &[Arc<Project>]) -> Result<Option<Arc<Project>>, Error> {
        if self.project.is_empty() {
            return Ok(projects.first().filter(|_| projects.len() == 1).cloned());
        }
        let found = projects.iter().find(|project| project.id == self.project);
        found.cloned().map(Some).ok_or(Error::ProjectNotFound)
    }

    fn has_project(&self, id: &str) -> bool {
        self.project.is_empty() || self.project == id
    }

    /// Whether the tab shows the session. That of deliveries shows pending sessions.
    pub(super) fn has_session(&self, session: &Session) -> bool {
        let is_in_tab = match self.tab {
            Tab::Deliveries => session.status == SessionStatus::Pending,
            Tab::Sessions => self.has_text_of_session(session),
            Tab::Settings => false,
        };
        is_in_tab && self.has_project(&session.project_id)
    }

    fn has_text_of_session(&self, session: &Session) -> bool {
        let persona = session.confirmation().map(|by| &by.persona);
        let username = persona.and_then(|persona| persona.telegram_username.as_deref());
        self.has_text([
            &*session.token,
            session.status.name(),
            persona.map_or("", |persona| &persona.telegram_id),
            persona.map_or("", |persona| &persona.telegram_name),
            username.unwrap_or_default(),
        ])
    }

    pub(super) fn has_delivery(&self, delivery: &Delivery) -> bool {
        self.has_project(&delivery.project_id)
            && (self.event.is_empty() || self.event == delivery.event)
            && (self.outcome.is_empty() || self.outcome == progress(delivery))
            && self.has_text([
                &*delivery.body,
                &delivery.session_token,
                &delivery.event,
                delivery.url.as_str(),
                &delivery.id.to_string(),
            ])
    }

    fn has_text<const N: usize>(&self, texts: [&str; N]) -> bool {
        let wanted = self.text.to_lowercase();
        wanted.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    }

    /// Whether a filter on deliveries is set.
    pub(super) fn is_filtered(&self) -> bool {
        !self.event.is_empty() || !self.outcome.is_empty() || !self.text.is_empty()
    }

    /// The number of the open delivery.
    pub(super) fn open(&self) -> Option<DeliveryId> {
        self.delivery.parse().ok()
    }

    /// The address of the inspector that shows this.
    pub(super) fn address(&self) -> String {
        format!("/{}", self.query())
    }

    /// The address of the file with the deliveries that are shown, or with the one that is open.
    pub(super) fn export(&self, format: &str) -> String {
        format!("/inspector/export/{format}{}", self.query())
    }

    fn query(&self) -> String {
        let tab = if self.tab == Tab::default() { "" } else { self.tab.name() };
        let pairs = [
            ("project", &*self.project),
            ("tab", tab),
            ("event", &self.event),
            ("outcome", &self.outcome),
            ("text", &self.text),
            ("delivery", &self.delivery),
        ];
        let set = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let query = Serializer::new(String::new()).extend_pairs(set).finish();
        if query.is_empty() { query } else { format!("?{query}") }
    }

    pub(super) fn of_project(id: &str, tab: Tab) -> Self {
        Self { project: id.to_owned(), tab, ..Self::default() }
    }

    /// The selection with this delivery open.
    pub(super) fn opening(&self, id: DeliveryId) -> Self {
        Self { delivery: id.to_string(), tab: Tab::Deliveries, ..self.clone() }
    }

    /// The selection with no delivery open.
    pub(super) fn closed(&self) -> Self {
        Self { delivery: String::new(), ..self.clone() }
    }

    /// Another tab on the same project.
    pub(super) fn on(&self, tab: Tab) -> Self {
        Self::of_project(&self.project, tab)
    }
}
