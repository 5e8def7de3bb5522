use std::sync::Arc;

use serde::Deserialize;
use url::form_urlencoded::Serializer;

use crate::{Delivery, DeliveryId, DeliveryState, Project, Session};

/// The filters of the inspector, from the query of its address. An empty value does not filter.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Selection {
    /// The id of the only project to show.
    pub(super) project: String,
    pub(super) tab: Tab,
    /// The only event to show.
    pub(super) event: String,
    /// The only progress to show.
    pub(super) outcome: Progress,
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

/// The progress of a delivery in a word.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Progress {
    #[default]
    #[serde(rename = "")]
    Any,
    Delivered,
    Failed,
    Retrying,
    Queued,
    Sending,
}

impl Progress {
    pub(super) const ALL: [Self; 6] =
        [Self::Any, Self::Delivered, Self::Failed, Self::Retrying, Self::Queued, Self::Sending];

    pub(super) fn of(delivery: &Delivery) -> Self {
        match delivery.state {
            DeliveryState::Delivered => Self::Delivered,
            DeliveryState::Failed => Self::Failed,
            DeliveryState::Sending => Self::Sending,
            DeliveryState::Queued { .. } if delivery.attempts.is_empty() => Self::Queued,
            DeliveryState::Queued { .. } => Self::Retrying,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Retrying => "retrying",
            Self::Queued => "queued",
            Self::Sending => "sending",
        }
    }
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

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Deliveries => "Deliveries",
            Self::Sessions => "Sessions",
            Self::Settings => "Settings",
        }
    }
}

impl Selection {
    /// The selected project, or the only one.
    pub(super) fn find<'a>(&self, projects: &'a [Arc<Project>]) -> Option<&'a Arc<Project>> {
        match projects {
            [only] if self.project.is_empty() => Some(only),
            _ => projects.iter().find(|project| project.id == self.project),
        }
    }

    pub(super) fn has_project(&self, id: &str) -> bool {
        self.project.is_empty() || self.project == id
    }

    pub(super) fn has_session(&self, session: &Session) -> bool {
        self.has_project(&session.project_id)
            && (self.tab != Tab::Sessions || self.has_text_of_session(session))
    }

    fn has_text_of_session(&self, session: &Session) -> bool {
        let persona = session.login().map(|login| &login.persona);
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
            && (self.outcome == Progress::Any || self.outcome == Progress::of(delivery))
            && self.has_text_of(delivery)
    }

    fn has_text_of(&self, delivery: &Delivery) -> bool {
        self.has_text([
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
        !self.event.is_empty() || self.outcome != Progress::Any || !self.text.is_empty()
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
            ("outcome", self.outcome.name()),
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
    pub(super) fn opening(&self, delivery: &Delivery) -> Self {
        Self { delivery: delivery.id.to_string(), tab: Tab::Deliveries, ..self.clone() }
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
