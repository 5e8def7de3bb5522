//! The contract of [`DedupeStore`], as a suite of cases that any store can run.
//!
//! One function is one promise of the contract, and is named after it. In a crate
//! that has a store, this is a whole test file; it wants `tokio` with the features
//! `macros` and `rt-multi-thread` among the dev-dependencies:
//!
//! ```
//! use bondify_core::MemoryStore;
//!
//! // One test per case, each on what the closure returns: a new store, or a new
//! // handle to one engine. Cases use keys of their own and can share it.
//! bondify_testkit::dedupe_store_suite!(async || MemoryStore::new());
//! ```
//!
//! Where there is no test harness, such as in a doctest, [`all`] runs every case and
//! names those that failed:
//!
//! ```
//! # use bondify_core::MemoryStore;
//! #[tokio::main]
//! async fn main() {
//!     bondify_testkit::store_suite::all(async || MemoryStore::new()).await;
//! }
//! ```
//!
//! A store that reaches its engine over a network owes more: see `network`, with the feature
//! `engines`.
//!
//! The suite takes a few seconds at most. It is made for slow and busy machines: no
//! case asks a store to be quick, except to notice within ten seconds that time is
//! up.

#[cfg(all(feature = "engines", unix))]
#[cfg_attr(docsrs, doc(cfg(all(feature = "engines", unix))))]
pub mod network;

use std::{
    collections::HashSet,
    fmt,
    hash::{BuildHasher, RandomState},
    iter::repeat_with,
    ops::Range,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError};
use futures_util::{
    FutureExt, StreamExt,
    future::{join, join_all},
    stream,
};
use tokio::{sync::Barrier, task::yield_now};

/// A lease that outlasts every case.
const LONG: Duration = Duration::from_secs(60);

/// A lease that runs out during a case. No case relies on doing anything
/// before it does.
const SHORT: Duration = Duration::from_millis(200);

const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Expands to one `#[tokio::test]` per case of [`store_suite`](crate::store_suite).
///
/// Takes an async closure or function that returns the store to test; see the
/// module for an example. Twice in one file, it wants two modules.
///
/// After the word `optional` that is an `Option`, and a case that gets `None` passes
/// untried: for engines that not every machine has.
#[macro_export]
macro_rules! dedupe_store_suite {
    (optional $new_store:expr) => {
        $crate::__dedupe_store_cases! { __dedupe_store_tests, $new_store }
    };
    ($new_store:expr) => {
        $crate::dedupe_store_suite! { optional async || Some(($new_store)().await) }
    };
}

/// The one list of cases, handed to the macro called `$each`.
#[doc(hidden)]
#[macro_export]
macro_rules! __dedupe_store_cases {
    ($each:ident, $new_store:expr) => {
        $crate::$each! {
            $new_store;
            first_claim_is_acquired,
            a_held_key_is_in_flight,
            a_completed_key_is_completed,
            a_released_key_can_be_claimed_again,
            distinct_keys_do_not_meet,
            namespaces_do_not_meet,
            many_keys_are_told_apart,
            tiny_and_huge_durations_are_accepted,
            an_expired_lease_is_taken_over,
            a_lease_is_never_cut_short,
            renewal_extends_the_lease,
            renewal_counts_from_now,
            a_completed_key_outlives_its_lease,
            retention_runs_out_and_the_key_can_be_claimed_again,
            a_retention_is_never_cut_short,
            an_expired_lease_cannot_complete,
            an_expired_lease_cannot_release,
            an_expired_lease_cannot_renew,
            a_taken_over_lease_cannot_complete,
            a_taken_over_lease_cannot_release,
            a_taken_over_lease_cannot_renew,
            a_completed_lease_cannot_be_used_again,
            a_released_lease_cannot_be_used_again,
            every_lease_of_a_key_has_another_token,
            one_hundred_concurrent_claims_have_one_owner,
            a_concurrent_take_over_has_one_owner,
            concurrent_claims_and_releases_never_have_two_owners,
            concurrent_settlements_have_one_winner,
            a_dropped_claim_leaks_nothing_but_its_lease,
            a_dropped_renew_leaves_the_lease_usable,
            a_dropped_complete_took_effect_or_not,
            a_dropped_release_took_effect_or_not,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __dedupe_store_tests {
    ($new_store:expr; $($case:ident,)+) => {$(
        #[::tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let case = async {
                if let Some(store) = ($new_store)().await {
                    $crate::store_suite::$case(store).await;
                }
            };
            $crate::within_a_minute(case).await;
        }
    )+};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __dedupe_store_run {
    ($new_store:expr; $($case:ident,)+) => {
        vec![$((stringify!($case), $case($new_store().await).boxed_local()),)+]
    };
}

/// Runs every case at once, each on a store of its own from `new_store`.
///
/// # Panics
///
/// If a case fails, once all have ended, with the names of those that failed.
pub async fn all<S: DedupeStore>(new_store: impl AsyncFn() -> S) {
    let cases = crate::__dedupe_store_cases! { __dedupe_store_run, new_store };
    let outcomes = cases.into_iter().map(async |(name, case)| {
        let outcome = AssertUnwindSafe(case).catch_unwind().await;
        outcome.err().map(|_panic| name)
    });
    let failed: Vec<_> = join_all(outcomes).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "the store breaks its contract: {failed:?}");
}

/// A key that was never claimed can be had.
pub async fn first_claim_is_acquired<S: DedupeStore>(store: S) {
    let claimed = claim(&store, &fresh_key()).await;
    assert!(is_acquired(claimed), "{claimed:?}");
}

/// While a lease runs, nobody else gets the key.
pub async fn a_held_key_is_in_flight<S: DedupeStore>(store: S) {
    let key = fresh_key();
    acquire(&store, &key, LONG).await;
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
}

/// Completing ends the lease and keeps everyone from handling the event again.
pub async fn a_completed_key_is_completed<S: DedupeStore>(store: S) {
    let key = fresh_key();
    let token = acquire(&store, &key, LONG).await;
    assert!(complete(&store, &key, token).await);
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// Releasing ends the lease and forgets the key.
pub async fn a_released_key_can_be_claimed_again<S: DedupeStore>(store: S) {
    let key = fresh_key();
    let token = acquire(&store, &key, LONG).await;
    assert!(release(&store, &key, token).await);
    acquire(&store, &key, LONG).await;
}

/// Neither the event's name nor its session token alone makes the key, and what is
/// done to one key is done to no other.
pub async fn distinct_keys_do_not_meet<S: DedupeStore>(store: S) {
    let (session, other_session) = (unique(), unique());
    let confirmed = EventKey::new("auth.confirmed", &session);
    let cancelled = EventKey::new("auth.cancelled", &session);
    let other = EventKey::new("auth.confirmed", &other_session);

    let confirmed_token = acquire(&store, &confirmed, LONG).await;
    let cancelled_token = acquire(&store, &cancelled, LONG).await;
    acquire(&store, &other, LONG).await;
    assert!(complete(&store, &confirmed, confirmed_token).await);
    assert!(release(&store, &cancelled, cancelled_token).await);

    assert_eq!(claim(&store, &confirmed).await, Claimed::Completed);
    assert!(is_acquired(claim(&store, &cancelled).await));
    assert_eq!(claim(&store, &other).await, Claimed::InFlight);
}

/// Projects that share a store keep their keys apart by a namespace.
pub async fn namespaces_do_not_meet<S: DedupeStore>(store: S) {
    let key = fresh_key();
    for key in [key, key.within("shop"), key.within("blog")] {
        let token = acquire(&store, &key, LONG).await;
        assert!(complete(&store, &key, token).await);
    }
}

/// Every one of five hundred keys is remembered for itself.
pub async fn many_keys_are_told_apart<S: DedupeStore>(store: S) {
    let keys: Vec<_> = repeat_with(fresh_key).take(500).collect();
    let several = 16;
    stream::iter(&keys)
        .for_each_concurrent(several, async |key| {
            let token = acquire(&store, key, LONG).await;
            assert!(complete(&store, key, token).await);
        })
        .await;
    stream::iter(&keys)
        .for_each_concurrent(several, async |key| {
            assert_eq!(claim(&store, key).await, Claimed::Completed);
        })
        .await;
}

/// A duration below the engine's precision is rounded up, and one of ten years fits.
pub async fn tiny_and_huge_durations_are_accepted<S: DedupeStore>(store: S) {
    for tiny in [Duration::from_nanos(1), Duration::from_millis(1)] {
        let key = fresh_key();
        acquire(&store, &key, tiny).await;
        let token = acquire_at_last(&store, &key, LONG).await;
        assert!(answered(store.complete(&key, &token, tiny).await));
        let token = acquire_at_last(&store, &key, LONG).await;
        assert!(answered(store.renew(&key, &token, tiny).await));
        acquire_at_last(&store, &key, LONG).await;
    }

    let key = fresh_key();
    let token = acquire(&store, &key, TEN_YEARS).await;
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(answered(store.renew(&key, &token, TEN_YEARS).await));
    assert!(answered(store.complete(&key, &token, TEN_YEARS).await));
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// A lease that nobody renews ends by itself, so a crash blocks no event for good.
pub async fn an_expired_lease_is_taken_over<S: DedupeStore>(store: S) {
    let key = fresh_key();
    acquire(&store, &key, SHORT).await;
    let token = acquire_at_last(&store, &key, LONG).await;
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(complete(&store, &key, token).await);
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// A lease may last longer than asked for, never shorter.
pub async fn a_lease_is_never_cut_short<S: DedupeStore>(store: S) {
    let key = fresh_key();
    let start = Instant::now();
    acquire(&store, &key, SHORT).await;
    acquire_at_last(&store, &key, LONG).await;
    assert_lasted(start, SHORT);
}

/// A renewed lease outlives the time it was first taken for.
pub async fn renewal_extends_the_lease<S: DedupeStore>(store: S) {
    // Again with another key wherever the lease ran out before the renewal.
    let (key, token) = until(async || {
        let key = fresh_key();
        let token = acquire(&store, &key, SHORT).await;
        renew(&store, &key, token).await.then_some((key, token))
    })
    .await;
    outlast_short(&store).await;
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(complete(&store, &key, token).await);
}

/// A renewed lease runs out that long from now, whatever was left of it.
pub async fn renewal_counts_from_now<S: DedupeStore>(store: S) {
    let key = fresh_key();
    let token = acquire(&store, &key, LONG).await;
    let start = Instant::now();
    assert!(answered(store.renew(&key, &token, SHORT).await));
    acquire_at_last(&store, &key, LONG).await;
    assert_lasted(start, SHORT);
}

/// The retention counts for a completed key; its lease no longer does.
pub async fn a_completed_key_outlives_its_lease<S: DedupeStore>(store: S) {
    // Again with another key wherever the lease ran out before the completion.
    let key = until(async || {
        let key = fresh_key();
        let token = acquire(&store, &key, SHORT).await;
        complete(&store, &key, token).await.then_some(key)
    })
    .await;
    outlast_short(&store).await;
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// A completed key is forgotten in time, and is then as good as new.
pub async fn retention_runs_out_and_the_key_can_be_claimed_again<S: DedupeStore>(store: S) {
    let key = fresh_key();
    let token = acquire(&store, &key, LONG).await;
    assert!(answered(store.complete(&key, &token, SHORT).await));
    let token = acquire_at_last(&store, &key, LONG).await;
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(complete(&store, &key, token).await);
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// A completed key may be remembered for longer than asked for, never shorter.
pub async fn a_retention_is_never_cut_short<S: DedupeStore>(store: S) {
    let key = fresh_key();
    let token = acquire(&store, &key, LONG).await;
    let start = Instant::now();
    assert!(answered(store.complete(&key, &token, SHORT).await));
    acquire_at_last(&store, &key, LONG).await;
    assert_lasted(start, SHORT);
}

/// A lease that has run out is lost, even while nobody else wants the key.
pub async fn an_expired_lease_cannot_complete<S: DedupeStore>(store: S) {
    let (key, expired) = expired_lease(&store).await;
    assert!(!complete(&store, &key, expired).await);
    acquire(&store, &key, LONG).await;
}

/// A lease that has run out is lost, even while nobody else wants the key.
pub async fn an_expired_lease_cannot_release<S: DedupeStore>(store: S) {
    let (key, expired) = expired_lease(&store).await;
    assert!(!release(&store, &key, expired).await);
    acquire(&store, &key, LONG).await;
}

/// A lease that has run out is lost, even while nobody else wants the key.
pub async fn an_expired_lease_cannot_renew<S: DedupeStore>(store: S) {
    let (key, expired) = expired_lease(&store).await;
    assert!(!renew(&store, &key, expired).await);
    acquire(&store, &key, LONG).await;
}

/// An owner that comes back late does not complete the event for its new owner.
pub async fn a_taken_over_lease_cannot_complete<S: DedupeStore>(store: S) {
    let (key, expired) = expired_lease(&store).await;
    let token = acquire(&store, &key, LONG).await;
    assert!(!complete(&store, &key, expired).await);
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(release(&store, &key, token).await);
}

/// An owner that comes back late does not release the key of its new owner.
pub async fn a_taken_over_lease_cannot_release<S: DedupeStore>(store: S) {
    let (key, expired) = expired_lease(&store).await;
    let token = acquire(&store, &key, LONG).await;
    assert!(!release(&store, &key, expired).await);
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(complete(&store, &key, token).await);
    assert!(!release(&store, &key, expired).await);
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// An owner that comes back late does not change how long its successor has.
pub async fn a_taken_over_lease_cannot_renew<S: DedupeStore>(store: S) {
    let (key, expired) = expired_lease(&store).await;
    let token = acquire(&store, &key, LONG).await;
    assert!(!answered(store.renew(&key, &expired, SHORT).await));
    outlast_short(&store).await;
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(complete(&store, &key, token).await);
}

/// Completing ends the lease: its token is worth nothing from then on.
pub async fn a_completed_lease_cannot_be_used_again<S: DedupeStore>(store: S) {
    let key = fresh_key();
    let token = acquire(&store, &key, LONG).await;
    assert!(complete(&store, &key, token).await);

    assert!(!complete(&store, &key, token).await);
    assert!(!renew(&store, &key, token).await);
    assert!(!release(&store, &key, token).await);
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// Releasing ends the lease: its token is worth nothing from then on.
pub async fn a_released_lease_cannot_be_used_again<S: DedupeStore>(store: S) {
    let key = fresh_key();
    let token = acquire(&store, &key, LONG).await;
    assert!(release(&store, &key, token).await);

    assert!(!release(&store, &key, token).await);
    assert!(!renew(&store, &key, token).await);
    assert!(!complete(&store, &key, token).await);
    acquire(&store, &key, LONG).await;
}

/// However a lease ended, the next one of the key has a token never used for it.
pub async fn every_lease_of_a_key_has_another_token<S: DedupeStore>(store: S) {
    let key = fresh_key();
    let released = acquire(&store, &key, LONG).await;
    assert!(release(&store, &key, released).await);
    let expired = acquire(&store, &key, SHORT).await;
    let completed = acquire_at_last(&store, &key, LONG).await;
    assert!(answered(store.complete(&key, &completed, SHORT).await));
    let last = acquire_at_last(&store, &key, LONG).await;

    let tokens = HashSet::from([released, expired, completed, last]);
    assert_eq!(tokens.len(), 4, "{tokens:?}");
}

/// Claiming is one atomic step: of many at once, one is acquired.
pub async fn one_hundred_concurrent_claims_have_one_owner<S: DedupeStore>(store: S) {
    let store = Arc::new(store);
    for _ in 0..5 {
        assert_eq!(owners_of_concurrent_claims(&store, fresh_key()).await, 1);
    }
}

/// Taking over is one atomic step too.
pub async fn a_concurrent_take_over_has_one_owner<S: DedupeStore>(store: S) {
    let (key, _expired) = expired_lease(&store).await;
    assert_eq!(owners_of_concurrent_claims(&Arc::new(store), key).await, 1);
}

/// However claims and releases meet, two owners never hold the key together.
pub async fn concurrent_claims_and_releases_never_have_two_owners<S: DedupeStore>(store: S) {
    const TASKS: usize = 8;
    const CLAIMS_PER_TASK: usize = 50;

    let (store, key) = (Arc::new(store), fresh_key());
    let owned = Arc::new(AtomicBool::new(false));
    let leases = Arc::new(AtomicUsize::new(0));
    concurrently(TASKS, || {
        let (store, owned, leases) = (store.clone(), owned.clone(), leases.clone());
        async move {
            for _ in 0..CLAIMS_PER_TASK {
                if let Claimed::Acquired(token) = claim(&*store, &key).await {
                    assert!(!owned.swap(true, SeqCst), "two owners");
                    yield_now().await;
                    owned.store(false, SeqCst);
                    assert!(release(&*store, &key, token).await);
                    leases.fetch_add(1, SeqCst);
                }
            }
        }
    })
    .await;
    assert!(leases.load(SeqCst) > 0, "no owner at all");
}

/// Of many attempts to end one lease, one does, and decides what becomes of the key.
pub async fn concurrent_settlements_have_one_winner<S: DedupeStore>(store: S) {
    let store = Arc::new(store);
    for _ in 0..5 {
        let key = fresh_key();
        let token = acquire(&*store, &key, LONG).await;
        let completes = concurrently(10, || {
            let store = store.clone();
            async move { complete(&*store, &key, token).await }
        });
        let releases = concurrently(10, || {
            let store = store.clone();
            async move { release(&*store, &key, token).await }
        });
        let (completes, releases) = join(completes, releases).await;

        let won = |outcomes: Vec<bool>| outcomes.into_iter().filter(|&won| won).count();
        let (completed, released) = (won(completes), won(releases));
        assert_eq!(completed + released, 1);
        let claimed = claim(&*store, &key).await;
        assert_eq!(claimed == Claimed::Completed, completed == 1, "{claimed:?}");
        assert_eq!(is_acquired(claimed), released == 1, "{claimed:?}");
    }
}

/// A claim given up half-way holds the key for its lease at most, and breaks
/// nothing.
pub async fn a_dropped_claim_leaks_nothing_but_its_lease<S: DedupeStore>(store: S) {
    let mut keys = Vec::new();
    for polls in DROPPED_AFTER {
        let key = fresh_key();
        drop_after(polls, store.claim(&key, SHORT)).await;
        keys.push(key);
    }
    for key in keys {
        let token = acquire_at_last(&store, &key, LONG).await;
        assert_eq!(claim(&store, &key).await, Claimed::InFlight);
        assert!(complete(&store, &key, token).await);
    }
}

/// A renewal given up half-way does not cost its owner the lease.
pub async fn a_dropped_renew_leaves_the_lease_usable<S: DedupeStore>(store: S) {
    for polls in DROPPED_AFTER {
        let key = fresh_key();
        let token = acquire(&store, &key, LONG).await;
        drop_after(polls, store.renew(&key, &token, LONG)).await;
        assert_eq!(claim(&store, &key).await, Claimed::InFlight);
        assert!(complete(&store, &key, token).await);
    }
}

/// After a completion given up half-way, the owner can still complete, or has.
pub async fn a_dropped_complete_took_effect_or_not<S: DedupeStore>(store: S) {
    for polls in DROPPED_AFTER {
        let key = fresh_key();
        let token = acquire(&store, &key, LONG).await;
        drop_after(polls, store.complete(&key, &token, LONG)).await;
        complete(&store, &key, token).await;
        assert_eq!(claim(&store, &key).await, Claimed::Completed);
    }
}

/// After a release given up half-way, the owner can still release, or has.
pub async fn a_dropped_release_took_effect_or_not<S: DedupeStore>(store: S) {
    for polls in DROPPED_AFTER {
        let key = fresh_key();
        let token = acquire(&store, &key, LONG).await;
        drop_after(polls, store.release(&key, &token)).await;
        release(&store, &key, token).await;
        let token = acquire(&store, &key, LONG).await;
        assert!(complete(&store, &key, token).await);
    }
}

/// A key that no other case and no earlier run used, in an engine that all share.
fn fresh_key() -> EventKey {
    EventKey::new("auth.confirmed", unique())
}

fn unique() -> String {
    let random = || RandomState::new().hash_one("sess");
    format!("sess_{:016x}{:016x}", random(), random())
}

async fn claim<S: DedupeStore>(store: &S, key: &EventKey) -> Claimed {
    answered(store.claim(key, LONG).await)
}

async fn renew<S: DedupeStore>(store: &S, key: &EventKey, token: LeaseToken) -> bool {
    answered(store.renew(key, &token, LONG).await)
}

async fn complete<S: DedupeStore>(store: &S, key: &EventKey, token: LeaseToken) -> bool {
    answered(store.complete(key, &token, LONG).await)
}

async fn release<S: DedupeStore>(store: &S, key: &EventKey, token: LeaseToken) -> bool {
    answered(store.release(key, &token).await)
}

/// Claims a key that nobody may hold.
async fn acquire<S: DedupeStore>(store: &S, key: &EventKey, lease: Duration) -> LeaseToken {
    match answered(store.claim(key, lease).await) {
        Claimed::Acquired(token) => token,
        other => panic!("the key can be claimed, but is {other:?}"),
    }
}

/// Claims a key as soon as what holds it has run out.
async fn acquire_at_last<S: DedupeStore>(store: &S, key: &EventKey, lease: Duration) -> LeaseToken {
    until(async || match answered(store.claim(key, lease).await) {
        Claimed::Acquired(token) => Some(token),
        Claimed::InFlight | Claimed::Completed => None,
    })
    .await
}

/// A key and the token of a lease of it that has run out, not yet taken over.
async fn expired_lease<S: DedupeStore>(store: &S) -> (EventKey, LeaseToken) {
    let key = fresh_key();
    let token = acquire(store, &key, SHORT).await;
    outlast_short(store).await;
    (key, token)
}

/// Returns when all that was to be held for [`SHORT`] has run out, as judged by the
/// engine: a lease that began later has.
async fn outlast_short<S: DedupeStore>(store: &S) {
    let witness = fresh_key();
    acquire(store, &witness, SHORT).await;
    acquire_at_last(store, &witness, SHORT).await;
}

async fn owners_of_concurrent_claims<S: DedupeStore>(store: &Arc<S>, key: EventKey) -> usize {
    let claims = concurrently(100, || {
        let store = store.clone();
        async move { claim(&*store, &key).await }
    });
    claims.await.into_iter().filter(|&claimed| is_acquired(claimed)).count()
}

/// Runs so many tasks, which start together.
async fn concurrently<T, F>(tasks: usize, task: impl Fn() -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(tasks));
    let spawn = || {
        let (start, task) = (start.clone(), task());
        tokio::spawn(async move {
            start.wait().await;
            task.await
        })
    };
    let outcomes = join_all(repeat_with(spawn).take(tasks)).await;
    outcomes.into_iter().map(|outcome| outcome.expect("no task fails")).collect()
}

/// The numbers of polls after which the cases about dropped calls drop them.
const DROPPED_AFTER: Range<usize> = 0..30;

/// Polls `call` that many times and drops it, however far it got.
async fn drop_after(polls: usize, call: impl Future) {
    let mut call = pin!(call);
    for _ in 0..polls {
        if call.as_mut().now_or_never().is_some() {
            return;
        }
        yield_now().await;
    }
}

/// Asks until there is an answer, for ten seconds.
async fn until<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), asking).await;
    answer.expect("ten seconds are enough to notice that time is up")
}

#[track_caller]
fn assert_lasted(start: Instant, asked: Duration) {
    // Two clocks, the engine's and ours, need not run alike to the last millisecond.
    let leeway = Duration::from_millis(10);
    let lasted = start.elapsed();
    assert!(lasted + leeway >= asked, "asked for {asked:?}, had after {lasted:?}");
}

fn is_acquired(claimed: Claimed) -> bool {
    matches!(claimed, Claimed::Acquired(_))
}

#[track_caller]
fn answered<T: fmt::Debug>(answer: Result<T, StoreError>) -> T {
    answer.expect("the store answers")
}
