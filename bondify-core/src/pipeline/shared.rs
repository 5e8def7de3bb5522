use std::sync::Arc;

use tokio::sync::watch;

use super::waiting::Waiting;
use crate::{Event, EventKey, Secret, Verifier, lease::Leases, settings::Settings};

/// The pipeline of one project.
pub(crate) struct Pipeline {
    pub(crate) verifier: Verifier,
    /// The namespaces of the keys, the innermost first.
    pub(crate) namespaces: Vec<String>,
    pub(crate) shared: Arc<Shared>,
}

/// The state that all projects of one [`Builder`](crate::Builder) share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    /// `None` if deliveries are not claimed.
    pub(crate) leases: Option<Arc<Leases>>,
    /// Counts the application's background tasks, for `drain`: each holds a receiver.
    pub(crate) tasks: watch::Sender<()>,
    pub(super) waiting: Waiting,
    /// Counts deliveries from their verification to their settlement, for `drain`: each holds a
    /// receiver.
    pub(crate) running: watch::Sender<()>,
    /// `true` once `drain` was called: waiting duplicates are answered at once.
    pub(crate) leaving: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(settings: Settings, leases: Option<Arc<Leases>>) -> Self {
        Self {
            settings,
            leases,
            waiting: Waiting::default(),
            tasks: watch::Sender::new(()),
            running: watch::Sender::new(()),
            leaving: watch::Sender::new(false),
        }
    }
}

impl Pipeline {
    /// The pipeline of another project, within this one's namespace.
    pub(crate) fn for_project(
        &self,
        namespace: String,
        secret: Secret,
        old: impl IntoIterator<Item = Secret>,
    ) -> Self {
        let mut namespaces = vec![namespace];
        namespaces.extend_from_slice(&self.namespaces);
        Self {
            verifier: self.verifier.for_secrets(secret, old),
            namespaces,
            shared: self.shared.clone(),
        }
    }

    /// The key that the event is claimed by.
    pub(super) fn key(&self, event: &Event) -> EventKey {
        self.namespaces.iter().fold(event.key(), |key, namespace| key.within(namespace))
    }
}

/// The error for handlers that are still running after the time-out of [`drain`](crate::Bondify::drain).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{running} deliveries were still in flight after the time-out of `drain`; if the process ends now, \
     Bondify has to retry them"
)]
#[non_exhaustive]
pub struct DrainTimedOut {
    /// The number of deliveries that are still in flight.
    pub running: usize,
}
