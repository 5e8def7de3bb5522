//! The emulator's projects, sessions and deliveries, and their rules.

mod deliveries;
mod projects;
mod sessions;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{
    Delivery, DeliveryId, DeliveryState, Project, Session, rate_limit::RateLimit,
    retry::RetrySchedule,
};

/// The state reads no clock, sends nothing and writes nothing: callers set the time, and act on
/// the changes.
pub(crate) struct State {
    /// The current time.
    pub(crate) now: SystemTime,
    pub(crate) rules: Rules,
    presets: Vec<Arc<Project>>,
    projects: Vec<Arc<Project>>,
    sessions: HashMap<String, Arc<Session>>,
    deliveries: BTreeMap<DeliveryId, Arc<Delivery>>,
    next_delivery: u64,
    rate_limit: RateLimit,
    changes: Vec<Change>,
}

/// The settings that the state follows.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) session_lifetime: Duration,
    pub(crate) retry: RetrySchedule,
    pub(crate) keep_deliveries: usize,
    pub(crate) requests_per_minute: u32,
    /// Whether deliveries to other machines are allowed.
    pub(crate) remote_delivery: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            session_lifetime: Duration::from_secs(10 * 60),
            retry: RetrySchedule::default(),
            keep_deliveries: 500,
            requests_per_minute: 60_000,
            remote_delivery: false,
        }
    }
}

/// A change, with the new value of the changed item.
///
/// ```
/// use bondify_emulator::{Change, Emulator};
///
/// /// Prints deliveries until the emulator stops.
/// async fn follow(emulator: &Emulator) {
///     let mut changes = emulator.changes();
///     while let Some(change) = changes.next().await {
///         if let Change::Delivery(delivery) = change {
///             println!("{} {:?}", delivery.id, delivery.state);
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// A project was created, or its settings were changed.
    Project(Arc<Project>),
    /// The project of this id was deleted, with its sessions and deliveries.
    ProjectDeleted(String),
    /// A session was generated or changed. A session that expires causes no change.
    Session(Arc<Session>),
    /// A delivery was created, or its state changed.
    Delivery(Arc<Delivery>),
    /// Everything was deleted. The projects of the builder follow as new changes.
    Reset,
    /// The state file can no longer be written, with the error, or can be written again.
    StateFile(Option<String>),
}

impl State {
    pub(crate) fn new(rules: Rules, now: SystemTime) -> Self {
        Self {
            now,
            rate_limit: RateLimit::new(rules.requests_per_minute),
            rules,
            presets: Vec::new(),
            projects: Vec::new(),
            sessions: HashMap::new(),
            deliveries: BTreeMap::new(),
            next_delivery: 1,
            changes: Vec::new(),
        }
    }

    /// Applies a change without recording it.
    pub(crate) fn restore(&mut self, change: Change) {
        match change {
            Change::Project(project) => {
                match self.projects.iter_mut().find(|other| other.id == project.id) {
                    Some(other) => *other = project,
                    None => self.projects.push(project),
                }
            }
            Change::ProjectDeleted(id) => {
                self.projects.retain(|project| project.id != id);
                self.sessions.retain(|_, session| session.project_id != id);
                self.deliveries.retain(|_, delivery| delivery.project_id != id);
            }
            Change::Session(session) => {
                self.sessions.insert(session.token.clone(), session);
            }
            Change::Delivery(delivery) => {
                self.next_delivery = self.next_delivery.max(delivery.id.0.saturating_add(1));
                self.deliveries.insert(delivery.id, delivery);
                self.forget_old_deliveries();
            }
            Change::StateFile(_) => {}
            Change::Reset => {
                self.projects.clear();
                self.sessions.clear();
                self.deliveries.clear();
                self.rate_limit.clear();
            }
        }
    }

    fn change(&mut self, change: Change) {
        self.changes.push(change.clone());
        self.restore(change);
    }

    /// Takes the changes since the last call, to be written to the state file and acted on.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        mem::take(&mut self.changes)
    }

    /// The changes that rebuild this state.
    pub(crate) fn to_changes(&self) -> impl Iterator<Item = Change> {
        let projects = self.projects.iter().cloned().map(Change::Project);
        let sessions = self.sessions.values().cloned().map(Change::Session);
        let deliveries = self.deliveries.values().cloned().map(Change::Delivery);
        projects.chain(sessions).chain(deliveries)
    }

    /// Continues after a restart: drops sessions that are too old for analytics, and queues the
    /// unfinished deliveries.
    pub(crate) fn resume(&mut self) {
        const SESSION_RETENTION: Duration = Duration::from_secs(91 * 24 * 60 * 60);
        let now = self.now;
        self.sessions.retain(|_, session| session.created_at + SESSION_RETENTION > now);
        for delivery in self.deliveries.values().cloned().collect::<Vec<_>>() {
            match delivery.state {
                DeliveryState::Queued { due } => self.queue(&delivery, due),
                DeliveryState::Sending => self.queue(&delivery, now),
                DeliveryState::Delivered | DeliveryState::Failed => {}
            }
        }
    }

    /// Deletes everything but the builder's projects, and resets their settings.
    pub(crate) fn reset(&mut self) {
        self.change(Change::Reset);
        for project in self.presets.clone() {
            self.change(Change::Project(project));
        }
    }
}
