use std::{error::Error, panic::AssertUnwindSafe, pin::pin, time::Duration};

use async_trait::async_trait;
use auto_impl::auto_impl;
use futures_util::FutureExt;

use super::key::EventKey;
use crate::in_time::in_time;

/// Remembers which events are being handled and which are done.
///
/// Implement it for the engine that you already run. One store serves all instances that share it. This is
/// the contract, which `bondify-testkit` checks case by case:
///
/// - Each method is one atomic step of the engine, never a read followed by a
///   write: of any number of concurrent claims of one key, one is
///   [`Acquired`](Claimed::Acquired).
/// - A claim is a lease. Until it runs out the key is
///   [`InFlight`](Claimed::InFlight), and only its [`LeaseToken`] can renew,
///   complete or release it. Once the lease has run out it is lost: these three calls change
///   nothing and return `false`, and the next claim acquires the key with a token that was never
///   used for this key.
/// - A completed key is [`Completed`](Claimed::Completed) for at least its
///   retention, then claimable again.
/// - Expiry is judged by one clock, the engine's. Durations may be rounded up, never down: a duration
///   below the engine's precision becomes the engine's smallest, not zero. No duration is longer than
///   ten years.
/// - Dropping a call's future must not leave a half-done change.
///
/// # A store from scratch
///
/// ```
#[doc = include_str!("../../docs/store.rs")]
/// ```
///
/// A real store also drops expired entries.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a dedupe store",
    label = "not a dedupe store",
    note = "pass a store by value: `MemoryStore`, `RedisStore` of `bondify-redis`, or one of `bondify-sqlx`; \
            clones of a store share its events",
    note = "make a store of a URL, client or pool first, for example by `RedisStore::open(client)` or \
            `PostgresStore::new(pool)`",
    note = "a store of any type is `Arc<dyn DedupeStore>`, not a `Box`"
)]
#[async_trait]
#[auto_impl(Arc)]
pub trait DedupeStore: Send + Sync + 'static {
    /// Takes the lease of `key` for the duration `lease`, or returns the key's state.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the engine cannot answer. The delivery is then answered with 503, or handled
    /// without deduplication if [`fail_open`](crate::Builder::fail_open) is set.
    async fn claim(&self, key: &EventKey, lease: Duration) -> Result<Claimed, StoreError>;

    /// Extends the lease, so that it runs out `lease` from now. Returns `false` if it was lost.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the engine cannot answer. The renewal is tried again later.
    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError>;

    /// Ends the lease and remembers `key` as completed for `retention`. Returns `false` if
    /// the lease was lost, or was ended by an earlier call whose answer was lost.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the engine cannot answer. The completion is tried again for a minute, if
    /// necessary with a new lease.
    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError>;

    /// Ends the lease and forgets `key`, so that the next delivery is handled. Returns `false` if the lease
    /// was lost.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the engine cannot answer. The release is tried again until the lease runs out.
    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError>;

    /// Looks for settings of the engine that would lose or double events, such as an eviction policy, a
    /// missing right, or a clock that differs from this machine's. Returns a sentence for each, which says
    /// what to change. The default finds nothing. A store that wraps another should forward the call.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the engine cannot answer.
    async fn check(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// Returns `true` if the store forgets its events when this process ends, as a store in memory does.
    /// The default is `false`. Code that handles past events, such as `CatchUp` of `bondify-client`,
    /// warns about it. A store that wraps another should forward the call.
    fn forgets_on_restart(&self) -> bool {
        false
    }
}

/// The result of a claim.
///
/// ```
/// use std::time::Duration;
///
/// use bondify_core::{Claimed, DedupeStore, EventKey, StoreError};
///
/// async fn try_claim(store: &impl DedupeStore, key: &EventKey) -> Result<bool, StoreError> {
///     match store.claim(key, Duration::from_secs(10)).await? {
///         Claimed::Acquired(_lease) => Ok(true),
///         _ => Ok(false), // in flight elsewhere, or completed
///     }
/// }
/// ```
#[expect(clippy::exhaustive_enums, reason = "the pipeline has to know them all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The caller holds the lease now.
    Acquired(LeaseToken),
    /// Another caller holds a lease that has not run out.
    InFlight,
    /// The event is done.
    Completed,
}

/// The fencing token of a lease, which distinguishes its holder from every earlier one.
///
/// ```
/// use bondify_core::LeaseToken;
///
/// let column: u64 = LeaseToken::new(7).get(); // in a table
/// assert_eq!(LeaseToken::new(column), LeaseToken::new(7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken(u64);

impl LeaseToken {
    /// Creates a token. The store must not have used its number for the same key before.
    pub const fn new(token: u64) -> Self {
        Self(token)
    }

    /// The number given to [`LeaseToken::new`].
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The error of a store that could not answer. It is logged and never sent to a client.
///
/// ```
/// use bondify_core::StoreError;
///
/// /// A store returns the error of its engine as the source.
/// fn read(path: &str) -> Result<String, StoreError> {
///     std::fs::read_to_string(path).map_err(StoreError::new)
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("dedupe store failed")]
pub struct StoreError(#[source] Box<dyn Error + Send + Sync>);

impl StoreError {
    /// Wraps the engine's own error, or a text. It is the [`source`](Error::source) of this error.
    ///
    /// ```
    /// use std::error::Error;
    ///
    /// use bondify_core::StoreError;
    ///
    /// let error = StoreError::new("the table `bondify_events` is missing");
    /// assert_eq!(error.to_string(), "dedupe store failed");
    /// assert_eq!(error.source().unwrap().to_string(), "the table `bondify_events` is missing");
    /// ```
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// Makes a call with a time-out: no answer within `limit` is an error, and so is a panic. A call that is
/// answered at once needs no timer.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match in_time(limit, pin!(AssertUnwindSafe(call).catch_unwind())).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Err(StoreError::new("the store panicked")),
        Err(_late) => Err(StoreError::new("the store did not answer in time")),
    }
}
