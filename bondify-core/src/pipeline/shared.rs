use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{DedupeStore, Verifier, lease::LeaseManager, settings::Settings};

/// All that the deliveries of one [`Bondify`](crate::Bondify) share.
pub(crate) struct Pipeline {
    pub(crate) verifier: Verifier,
    pub(crate) settings: Settings,
    /// `None`: no delivery is claimed.
    pub(super) leases: Option<LeaseManager>,
    /// Counts deliveries from their verification to their settlement, for `drain`.
    pub(super) running: TaskTracker,
    pub(super) leaving: CancellationToken,
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
            running: TaskTracker::new(),
            leaving: CancellationToken::new(),
        }
    }

    /// The deliveries that are neither settled nor answered in the handler's place.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// Ends waiting duplicates, and waits until all running deliveries have ended.
    pub(crate) async fn drain(&self, timeout: Duration) -> Result<(), DrainTimedOut> {
        self.leaving.cancel();
        self.running.close();
        let drained = tokio::time::timeout(timeout, self.running.wait()).await;
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
