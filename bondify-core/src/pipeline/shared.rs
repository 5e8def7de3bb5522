use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::waiting::Waiting;
use crate::{
    DedupeStore, Event, EventKey, Secret, Verifier, lease::LeaseManager, settings::Settings,
};

/// The pipeline of one project.
pub(crate) struct Pipeline {
    pub(crate) verifier: Verifier,
    /// The innermost comes first.
    pub(crate) namespaces: Vec<String>,
    pub(crate) shared: Arc<Shared>,
}

/// All that the projects of one [`Builder`](crate::Builder) share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    /// `None`: no delivery is claimed.
    pub(super) leases: Option<LeaseManager>,
    pub(super) waiting: Waiting,
    /// Counts deliveries from their verification to their settlement, for `drain`: each holds a
    /// receiver.
    pub(super) running: watch::Sender<()>,
    /// Whether waiting duplicates are answered at once, as the process is about to end.
    pub(super) leaving: watch::Sender<bool>,
}

impl Pipeline {
    pub(crate) fn new(
        verifier: Verifier,
        namespace: Option<String>,
        store: Option<Arc<dyn DedupeStore>>,
        settings: Settings,
    ) -> Self {
        let Settings { lease, retention, .. } = settings;
        let leases = store.map(|store| LeaseManager::new(store, lease, retention));
        let (running, leaving) = (watch::Sender::new(()), watch::Sender::new(false));
        let shared =
            Arc::new(Shared { settings, leases, waiting: Waiting::default(), running, leaving });
        Self { verifier, namespaces: namespace.into_iter().collect(), shared }
    }

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

impl Shared {
    /// The deliveries that are neither settled nor answered in the handler's place.
    pub(crate) fn running(&self) -> usize {
        self.running.receiver_count()
    }

    /// Ends waiting duplicates, and waits until all running deliveries have ended.
    pub(crate) async fn drain(&self, timeout: Duration) -> Result<(), DrainTimedOut> {
        self.leaving.send_replace(true);
        let drained = tokio::time::timeout(timeout, self.running.closed()).await;
        drained.map_err(|_late| DrainTimedOut { running: self.running() })
    }
}

/// Handlers were still running when the time to [`drain`](crate::Bondify::drain) was up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{running} deliveries were still being handled when the time to drain was up")]
#[non_exhaustive]
pub struct DrainTimedOut {
    /// How many.
    pub running: usize,
}
