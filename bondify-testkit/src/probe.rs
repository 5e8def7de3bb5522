use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError, async_trait};
use tokio::sync::watch;

use crate::deadline::wait_until;

/// A dedupe store that forwards calls to another store, keeps a journal of them, and fails, holds or
/// ignores calls as a test sets it. Clones share everything.
///
/// ```
/// use bondify_core::{Bondify, MemoryStore, Reply, Secret};
/// use bondify_testkit::{Payload, ProbeStore};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let secret = Secret::new("whsec_test")?;
/// let store = ProbeStore::new(MemoryStore::new());
/// let bondify = Bondify::builder(secret.clone()).store(store.clone()).build()?;
/// let request = Payload::confirmed().signed_with(&secret);
///
/// store.set_down(true);
/// assert_eq!(request.receive_by(&bondify).await.unwrap_err(), Reply::StoreUnavailable);
/// store.set_down(false);
/// let delivery = request.receive_by(&bondify).await.unwrap();
/// assert_eq!(delivery.run(async |_event| 204, |&status| status).await, Ok(204));
/// assert_eq!(store.calls().len(), 2); // a claim and a completion
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ProbeStore(Arc<State>);

struct State {
    store: Box<dyn DedupeStore>,
    journal: watch::Sender<Vec<Call>>,
    down: AtomicBool,
    ignores_renewals: AtomicBool,
    holding_claims: watch::Sender<bool>,
}

/// A call that a store answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// `claim`, and its result.
    Claim(Claimed),
    /// `renew`, and whether the lease was still held.
    Renew(bool),
    /// `complete`, and whether the lease was still held.
    Complete(bool),
    /// `release`, and whether the lease was still held.
    Release(bool),
}

/// The error of a [`ProbeStore`] that is [down](ProbeStore::set_down). No response may contain it.
pub const STORE_ERROR: &str = "My error full of implementation details";

impl ProbeStore {
    /// Creates a probe of `store`.
    #[must_use]
    pub fn new(store: impl DedupeStore) -> Self {
        Self(Arc::new(State {
            store: Box::new(store),
            journal: watch::Sender::default(),
            down: AtomicBool::default(),
            ignores_renewals: AtomicBool::default(),
            holding_claims: watch::Sender::default(),
        }))
    }

    /// Sets whether every call fails from now on.
    ///
    /// ```
    /// use bondify_core::MemoryStore;
    /// use bondify_testkit::ProbeStore;
    ///
    /// let store = ProbeStore::new(MemoryStore::new());
    /// store.set_down(true); // every call returns `STORE_ERROR`
    /// store.set_down(false);
    /// ```
    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    /// Sets whether renewals are ignored from now on. An ignored renewal is answered with success and not
    /// forwarded.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::{DedupeStore, EventKey, MemoryStore, StoreError};
    /// use bondify_testkit::{Call, ProbeStore};
    ///
    /// /// A lease that is not renewed runs out, as after a crash.
    /// async fn crash(store: &ProbeStore, key: &EventKey) -> Result<(), StoreError> {
    ///     store.ignore_renewals(true);
    ///     store.claim(key, Duration::from_millis(300)).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn ignore_renewals(&self, ignore: bool) {
        self.0.ignores_renewals.store(ignore, Ordering::SeqCst);
    }

    /// Holds claims from now on: they take effect and are in the journal, but are not answered
    /// before [`resume_claims`](Self::resume_claims).
    ///
    /// ```
    /// use bondify_core::{Bondify, Secret};
    /// use bondify_testkit::{Call, Payload, ProbeStore};
    ///
    /// async fn a_delivery_waits_for_its_claim(bondify: &Bondify, store: &ProbeStore, secret: &Secret) {
    ///     let request = Payload::confirmed().signed_with(secret);
    ///     store.hold_claims();
    ///     let resume = async {
    ///         store.until(1, |call| matches!(call, Call::Claim(_))).await;
    ///         store.resume_claims();
    ///     };
    ///     let (delivery, ()) = tokio::join!(request.receive_by(bondify), resume);
    ///     assert!(delivery.is_ok());
    /// }
    /// ```
    pub fn hold_claims(&self) {
        self.0.holding_claims.send_replace(true);
    }

    /// Answers the held claims, and stops holding claims.
    pub fn resume_claims(&self) {
        self.0.holding_claims.send_replace(false);
    }

    /// Returns the calls so far, without renewals.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        let journal = self.0.journal.borrow();
        journal.iter().filter(|call| !matches!(call, Call::Renew(_))).copied().collect()
    }

    /// Waits until `count` calls of the journal match.
    ///
    /// ```
    /// use bondify_testkit::{Call, ProbeStore};
    ///
    /// /// The event of a failed handler is released, in the background.
    /// async fn assert_released(store: &ProbeStore) {
    ///     store.until(1, |call| *call == Call::Release(true)).await;
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// After half a minute.
    pub async fn until(&self, count: usize, matches: impl Fn(&Call) -> bool) {
        let enough = |calls: &Vec<Call>| calls.iter().filter(|call| matches(call)).count() >= count;
        wait_until(&self.0.journal, enough).await;
    }

    fn reach(&self) -> Result<&dyn DedupeStore, StoreError> {
        if self.0.down.load(Ordering::SeqCst) {
            return Err(StoreError::new(STORE_ERROR));
        }
        Ok(&*self.0.store)
    }

    fn note(&self, call: Call) {
        self.0.journal.send_modify(|journal| journal.push(call));
    }
}

impl std::fmt::Debug for ProbeStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ProbeStore").field(&*self.0.journal.borrow()).finish()
    }
}

#[async_trait]
impl DedupeStore for ProbeStore {
    async fn claim(&self, key: &EventKey, lease: Duration) -> Result<Claimed, StoreError> {
        let claimed = self.reach()?.claim(key, lease).await?;
        self.note(Call::Claim(claimed));
        // The sender lives as long as this store.
        let _ = self.0.holding_claims.subscribe().wait_for(|holding| !holding).await;
        Ok(claimed)
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        if self.0.ignores_renewals.load(Ordering::SeqCst) {
            return Ok(true);
        }
        let held = self.reach()?.renew(key, token, lease).await?;
        self.note(Call::Renew(held));
        Ok(held)
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let held = self.reach()?.complete(key, token, retention).await?;
        self.note(Call::Complete(held));
        Ok(held)
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        let held = self.reach()?.release(key, token).await?;
        self.note(Call::Release(held));
        Ok(held)
    }

    fn forgets_on_restart(&self) -> bool {
        self.0.store.forgets_on_restart()
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.reach()?.check().await
    }
}
