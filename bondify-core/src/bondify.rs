use std::{fmt, sync::Arc, time::Duration};

use bytes::Buf;
use futures_util::Stream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Builder, Headers, Receive, Secret, Verifier, builder::Settings, home::Home, renewal::Renewals,
    store::Store,
};

/// Receives Bondify's webhooks: verifies, deduplicates, and settles each delivery by
/// what its handler answers.
///
/// A handle: clones share everything. Framework users attach it to a route and need
/// little more than [`builder`](Self::builder), [`rotate`](Self::rotate) and
/// [`drain`](Self::drain); [`receive`](Self::receive) is for adapters.
#[derive(Clone)]
pub struct Bondify {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) verifier: Verifier,
    pub(crate) store: Option<Store>,
    pub(crate) settings: Settings,
    pub(crate) home: Home,
    pub(crate) renewals: Renewals,
    /// Counts deliveries from their verification to their settlement, for `drain`.
    pub(crate) running: TaskTracker,
    pub(crate) leaving: CancellationToken,
}

impl Bondify {
    /// Begins with the project's webhook secret and the defaults.
    pub fn builder(secret: Secret) -> Builder {
        Builder::new(secret)
    }

    pub(crate) fn new(verifier: Verifier, store: Option<Store>, settings: Settings) -> Self {
        let shared = Shared {
            verifier,
            store,
            settings,
            home: Home::default(),
            renewals: Renewals::default(),
            running: TaskTracker::new(),
            leaving: CancellationToken::new(),
        };
        let this = Self { shared: Arc::new(shared) };
        this.home();
        this
    }

    /// From now on accepts what one of `secrets` signed, without a restart.
    ///
    /// "Regenerate key" in the dashboard takes effect at once, while retries of
    /// older deliveries still carry the old signature: keep the old secret beside
    /// the new one until the last of those is over. See [`Verifier::rotate`].
    pub fn rotate(&self, secrets: impl IntoIterator<Item = Secret>) {
        self.shared.verifier.rotate(secrets);
    }

    /// The largest body that is taken, in bytes.
    #[must_use]
    pub fn body_limit(&self) -> usize {
        self.shared.settings.body_limit
    }

    /// Waits until running handlers and settlements are over, and from now on sends
    /// deliveries away that would wait for another, so that Bondify retries them.
    ///
    /// Call it once the server has stopped accepting connections, before the runtime
    /// ends. A handler cut off by the runtime's end counts as crashed: its lease runs
    /// out before a retry reaches a handler.
    ///
    /// # Errors
    ///
    /// [`DrainTimedOut`] if that takes longer than `timeout`.
    pub async fn drain(&self, timeout: Duration) -> Result<(), DrainTimedOut> {
        self.shared.leaving.cancel();
        let running = &self.shared.running;
        running.close();
        tokio::time::timeout(timeout, running.wait())
            .await
            .map_err(|_| DrainTimedOut { running: running.len() })
    }

    /// For adapters: everything before the handler. Reads the body, verifies it,
    /// claims the event and, while another delivery of it is being handled, waits.
    ///
    /// The returned future borrows nothing; `Send` if `body` is. Dropping it leaves
    /// nothing claimed.
    ///
    /// # Errors
    ///
    /// The [`Reply`](crate::Reply) to send instead of running the handler.
    pub fn receive<S, C, E>(&self, headers: &dyn Headers, body: S) -> Receive<S>
    where
        S: Stream<Item = Result<C, E>>,
        C: Buf,
    {
        Receive::new(self, headers, body)
    }
}

impl fmt::Debug for Bondify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bondify")
            .field("verifier", &self.shared.verifier)
            .field("settings", &self.shared.settings)
            .field("running", &self.shared.running.len())
            .finish_non_exhaustive()
    }
}

/// Handlers were still running when the time to [`drain`](Bondify::drain) was up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{running} deliveries were still being handled when the time to drain was up")]
#[non_exhaustive]
pub struct DrainTimedOut {
    /// How many.
    pub running: usize,
}
