use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{DedupeStore, Event, EventKey, Verifier, lease::LeaseManager, settings::Settings};

/// All that the deliveries of one [`Bondify`](crate::Bondify) share.
pub(crate) struct Pipeline {
    pub(crate) verifier: Verifier,
    pub(crate) settings: Settings,
    /// `None`: no delivery is claimed.
    pub(super) leases: Option<LeaseManager>,
    /// Counts deliveries from their verification to their settlement, for `drain`: each holds a
    /// receiver.
    pub(super) running: watch::Sender<()>,
    /// Whether waiting duplicates are answered at once, as the process is about to end.
    pub(super) leaving: watch::Sender<bool>,
}

impl Pipeline {
    pub(crate) fn new(
        verifier: Verifier,
        store: Option<Arc<dyn DedupeStore>>,
        settings: Settings,
    ) -> Self {
        let Settings { lease, retention, .. } = settings;
        Self {
            verifier,
            settings,
            leases: store.map(|store| LeaseManager::new(store, lease, retention)),
            running: watch::Sender::new(()),
            leaving: watch::Sender::new(false),
        }
    }

    pub(crate) fn is_verify_only(&self) -> bool {
        self.leases.is_none()
    }

    /// The key that the event is claimed by.
    pub(super) fn key(&self, event: &Event) -> EventKey {
        let namespace = self.settings.namespace.as_deref();
        namespace.map_or(event.key(), |namespace| event.key().within(namespace))
    }

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
