//! The cases, and the steps that they are made of.

use std::{
    collections::HashSet,
    fmt,
    iter::repeat_with,
    ops::Range,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
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

use crate::payload::new_session_token;

/// A lease that does not expire during a case.
pub const LONG: Duration = Duration::from_secs(60);

/// A lease that expires during a case. No case needs to act before its expiry.
const SHORT: Duration = Duration::from_millis(200);

const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A key that was never claimed is acquired.
pub async fn first_claim_is_acquired<S: DedupeStore>(store: S) {
    let claimed = claim(&store, &fresh_key()).await;
    assert!(is_acquired(claimed), "{claimed:?}");
}

/// While a lease is valid, another claim of its key does not succeed.
pub async fn a_held_key_is_in_flight<S: DedupeStore>(store: S) {
    let key = fresh_key();
    acquire(&store, &key, LONG).await;
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
}

/// A completion ends the lease, and the event is not handled again.
pub async fn a_completed_key_is_completed<S: DedupeStore>(store: S) {
    let (key, token) = held(&store).await;
    assert!(complete(&store, &key, token).await);
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// A release ends the lease and forgets the key.
pub async fn a_released_key_can_be_claimed_again<S: DedupeStore>(store: S) {
    let (key, token) = held(&store).await;
    assert!(release(&store, &key, token).await);
    acquire(&store, &key, LONG).await;
}

/// Both the event's name and its session token are part of the key, and a change of one key changes no
/// other.
pub async fn different_keys_are_independent<S: DedupeStore>(store: S) {
    let (session, other_session) = (new_session_token(), new_session_token());
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

/// The same key is different in each namespace, for projects that share a store.
pub async fn namespaces_are_independent<S: DedupeStore>(store: S) {
    let key = fresh_key();
    for key in [key, key.within("shop"), key.within("blog")] {
        let token = acquire(&store, &key, LONG).await;
        assert!(complete(&store, &key, token).await);
    }
}

/// Each of five hundred keys is remembered separately.
pub async fn many_keys_are_distinguished<S: DedupeStore>(store: S) {
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

/// A duration below the engine's precision is rounded up, and a duration of ten years is accepted.
pub async fn tiny_and_huge_durations_are_accepted<S: DedupeStore>(store: S) {
    for tiny in [Duration::from_nanos(1), Duration::from_millis(1)] {
        let key = fresh_key();
        acquire(&store, &key, tiny).await;
        let token = acquire_at_last(&store, &key, LONG).await;
        assert!(answered(store.complete(&key, &token, tiny).await));
        let token = acquire_at_last(&store, &key, LONG).await;
        let _held = answered(store.renew(&key, &token, tiny).await); // it may be over already
        acquire_at_last(&store, &key, LONG).await;
    }

    let key = fresh_key();
    let token = acquire(&store, &key, TEN_YEARS).await;
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(answered(store.renew(&key, &token, TEN_YEARS).await));
    assert!(answered(store.complete(&key, &token, TEN_YEARS).await));
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// A lease that is not renewed expires, so a crash does not block an event for ever.
pub async fn an_expired_lease_is_taken_over<S: DedupeStore>(store: S) {
    let key = fresh_key();
    acquire(&store, &key, SHORT).await;
    let token = acquire_at_last(&store, &key, LONG).await;
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(complete(&store, &key, token).await);
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// A lease may last longer than requested, but not shorter.
pub async fn a_lease_is_never_cut_short<S: DedupeStore>(store: S) {
    let key = fresh_key();
    let start = Instant::now();
    acquire(&store, &key, SHORT).await;
    acquire_at_last(&store, &key, LONG).await;
    assert_lasted(start, SHORT);
}

/// A renewed lease outlasts its first duration.
pub async fn renewal_extends_the_lease<S: DedupeStore>(store: S) {
    // With another key if the lease expired before the renewal.
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

/// A renewed lease expires that long after the renewal, regardless of the time that was left.
pub async fn renewal_counts_from_now<S: DedupeStore>(store: S) {
    let (key, token) = held(&store).await;
    let start = Instant::now();
    assert!(answered(store.renew(&key, &token, SHORT).await));
    acquire_at_last(&store, &key, LONG).await;
    assert_lasted(start, SHORT);
}

/// A completed key is kept for the retention, not for the lease.
pub async fn a_completed_key_outlives_its_lease<S: DedupeStore>(store: S) {
    // With another key if the lease expired before the completion.
    let key = until(async || {
        let key = fresh_key();
        let token = acquire(&store, &key, SHORT).await;
        complete(&store, &key, token).await.then_some(key)
    })
    .await;
    outlast_short(&store).await;
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// A completed key is forgotten after the retention, and can then be claimed again.
pub async fn retention_runs_out_and_the_key_can_be_claimed_again<S: DedupeStore>(store: S) {
    let (key, token) = held(&store).await;
    assert!(answered(store.complete(&key, &token, SHORT).await));
    let token = acquire_at_last(&store, &key, LONG).await;
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(complete(&store, &key, token).await);
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// A completed key may be kept for longer than requested, but not shorter.
pub async fn a_retention_is_never_cut_short<S: DedupeStore>(store: S) {
    let (key, token) = held(&store).await;
    let start = Instant::now();
    assert!(answered(store.complete(&key, &token, SHORT).await));
    acquire_at_last(&store, &key, LONG).await;
    assert_lasted(start, SHORT);
}

/// An expired lease is lost, even if nobody else has claimed the key.
pub async fn an_expired_lease_cannot_complete<S: DedupeStore>(store: S) {
    let (key, expired) = expired_lease(&store).await;
    assert!(!complete(&store, &key, expired).await);
    acquire(&store, &key, LONG).await;
}

/// An expired lease is lost, even if nobody else has claimed the key.
pub async fn an_expired_lease_cannot_release<S: DedupeStore>(store: S) {
    let (key, expired) = expired_lease(&store).await;
    assert!(!release(&store, &key, expired).await);
    acquire(&store, &key, LONG).await;
}

/// An expired lease is lost, even if nobody else has claimed the key.
pub async fn an_expired_lease_cannot_renew<S: DedupeStore>(store: S) {
    let (key, expired) = expired_lease(&store).await;
    assert!(!renew(&store, &key, expired).await);
    acquire(&store, &key, LONG).await;
}

/// The holder of an expired lease cannot complete the event of the new holder.
pub async fn a_taken_over_lease_cannot_complete<S: DedupeStore>(store: S) {
    let (key, expired) = expired_lease(&store).await;
    let token = acquire(&store, &key, LONG).await;
    assert!(!complete(&store, &key, expired).await);
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(release(&store, &key, token).await);
}

/// The holder of an expired lease cannot release the key of the new holder.
pub async fn a_taken_over_lease_cannot_release<S: DedupeStore>(store: S) {
    let (key, expired) = expired_lease(&store).await;
    let token = acquire(&store, &key, LONG).await;
    assert!(!release(&store, &key, expired).await);
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(complete(&store, &key, token).await);
    assert!(!release(&store, &key, expired).await);
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// The holder of an expired lease cannot change the lease of the new holder.
pub async fn a_taken_over_lease_cannot_renew<S: DedupeStore>(store: S) {
    let (key, expired) = expired_lease(&store).await;
    let token = acquire(&store, &key, LONG).await;
    assert!(!answered(store.renew(&key, &expired, SHORT).await));
    outlast_short(&store).await;
    assert_eq!(claim(&store, &key).await, Claimed::InFlight);
    assert!(complete(&store, &key, token).await);
}

/// A completion ends the lease: its token is no longer valid.
pub async fn a_completed_lease_cannot_be_used_again<S: DedupeStore>(store: S) {
    let (key, token) = held(&store).await;
    assert!(complete(&store, &key, token).await);

    assert!(!complete(&store, &key, token).await);
    assert!(!renew(&store, &key, token).await);
    assert!(!release(&store, &key, token).await);
    assert_eq!(claim(&store, &key).await, Claimed::Completed);
}

/// A release ends the lease: its token is no longer valid.
pub async fn a_released_lease_cannot_be_used_again<S: DedupeStore>(store: S) {
    let (key, token) = held(&store).await;
    assert!(release(&store, &key, token).await);

    assert!(!release(&store, &key, token).await);
    assert!(!renew(&store, &key, token).await);
    assert!(!complete(&store, &key, token).await);
    acquire(&store, &key, LONG).await;
}

/// Each lease of a key has a new token, whichever way the lease before it ended.
pub async fn every_lease_of_a_key_has_a_new_token<S: DedupeStore>(store: S) {
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

/// A claim is atomic: one of many concurrent claims acquires the key.
pub async fn one_hundred_concurrent_claims_have_one_owner<S: DedupeStore>(store: S) {
    let store = Arc::new(store);
    for _ in 0..5 {
        assert_eq!(owners_of_concurrent_claims(&store, fresh_key()).await, 1);
    }
}

/// The claim of an expired lease is atomic too.
pub async fn a_concurrent_take_over_has_one_owner<S: DedupeStore>(store: S) {
    let (key, _expired) = expired_lease(&store).await;
    assert_eq!(owners_of_concurrent_claims(&Arc::new(store), key).await, 1);
}

/// With concurrent claims and releases, a key never has two holders.
pub async fn concurrent_claims_and_releases_never_have_two_owners<S: DedupeStore>(store: S) {
    const TASKS: usize = 8;
    const CLAIMS_PER_TASK: usize = 50;

    let (store, key) = (Arc::new(store), fresh_key());
    let owned = Arc::new(AtomicBool::new(false));
    let leases = concurrently(&store, TASKS, |store| {
        let owned = owned.clone();
        async move {
            let mut leases = 0;
            for _ in 0..CLAIMS_PER_TASK {
                if let Claimed::Acquired(token) = claim(&*store, &key).await {
                    assert!(!owned.swap(true, SeqCst), "two owners");
                    yield_now().await;
                    owned.store(false, SeqCst);
                    assert!(release(&*store, &key, token).await);
                    leases += 1;
                }
            }
            leases
        }
    })
    .await;
    assert!(leases.into_iter().sum::<usize>() > 0, "no owner at all");
}

/// One of many concurrent settlements of a lease succeeds, and decides the state of the key.
pub async fn concurrent_settlements_have_one_winner<S: DedupeStore>(store: S) {
    let store = Arc::new(store);
    for _ in 0..5 {
        let (key, token) = held(&*store).await;
        let completes =
            concurrently(&store, 10, |store| async move { complete(&*store, &key, token).await });
        let releases =
            concurrently(&store, 10, |store| async move { release(&*store, &key, token).await });
        let (completes, releases) = join(completes, releases).await;

        let won = |outcomes: Vec<bool>| outcomes.into_iter().filter(|&won| won).count();
        let (completed, released) = (won(completes), won(releases));
        assert_eq!(completed + released, 1);
        let claimed = claim(&*store, &key).await;
        assert_eq!(claimed == Claimed::Completed, completed == 1, "{claimed:?}");
        assert_eq!(is_acquired(claimed), released == 1, "{claimed:?}");
    }
}

/// A dropped claim holds the key for its lease at most.
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

/// A dropped renewal does not end the lease.
pub async fn a_dropped_renew_leaves_the_lease_usable<S: DedupeStore>(store: S) {
    for polls in DROPPED_AFTER {
        let (key, token) = held(&store).await;
        drop_after(polls, store.renew(&key, &token, LONG)).await;
        assert_eq!(claim(&store, &key).await, Claimed::InFlight);
        assert!(complete(&store, &key, token).await);
    }
}

/// After a dropped completion, the event is completed or its holder can still complete it.
pub async fn a_dropped_complete_took_effect_or_not<S: DedupeStore>(store: S) {
    for polls in DROPPED_AFTER {
        let (key, token) = held(&store).await;
        drop_after(polls, store.complete(&key, &token, LONG)).await;
        complete(&store, &key, token).await;
        assert_eq!(claim(&store, &key).await, Claimed::Completed);
    }
}

/// After a dropped release, the key is released or its holder can still release it.
pub async fn a_dropped_release_took_effect_or_not<S: DedupeStore>(store: S) {
    for polls in DROPPED_AFTER {
        let (key, token) = held(&store).await;
        drop_after(polls, store.release(&key, &token)).await;
        release(&store, &key, token).await;
        let token = acquire(&store, &key, LONG).await;
        assert!(complete(&store, &key, token).await);
    }
}

/// A key that no other case and no earlier run has used.
pub fn fresh_key() -> EventKey {
    EventKey::new("auth.confirmed", new_session_token())
}

pub async fn claim<S: DedupeStore>(store: &S, key: &EventKey) -> Claimed {
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

/// A new key, and the token of its long lease.
async fn held<S: DedupeStore>(store: &S) -> (EventKey, LeaseToken) {
    let key = fresh_key();
    (key, acquire(store, &key, LONG).await)
}

/// Claims a key that is free.
pub async fn acquire<S: DedupeStore>(store: &S, key: &EventKey, lease: Duration) -> LeaseToken {
    match answered(store.claim(key, lease).await) {
        Claimed::Acquired(token) => token,
        other => panic!("the key can be claimed, but is {other:?}"),
    }
}

/// Claims a key as soon as its lease or retention has expired.
pub async fn acquire_at_last<S: DedupeStore>(
    store: &S,
    key: &EventKey,
    lease: Duration,
) -> LeaseToken {
    until(async || match answered(store.claim(key, lease).await) {
        Claimed::Acquired(token) => Some(token),
        Claimed::InFlight | Claimed::Completed => None,
    })
    .await
}

/// Returns a key and the token of its lease, which has expired.
async fn expired_lease<S: DedupeStore>(store: &S) -> (EventKey, LeaseToken) {
    let key = fresh_key();
    let token = acquire(store, &key, SHORT).await;
    outlast_short(store).await;
    (key, token)
}

/// Waits until the engine has let every earlier lease of [`SHORT`] expire: until a later one has
/// expired.
async fn outlast_short<S: DedupeStore>(store: &S) {
    let witness = fresh_key();
    acquire(store, &witness, SHORT).await;
    acquire_at_last(store, &witness, SHORT).await;
}

async fn owners_of_concurrent_claims<S: DedupeStore>(store: &Arc<S>, key: EventKey) -> usize {
    let claims = concurrently(store, 100, |store| async move { claim(&*store, &key).await });
    claims.await.into_iter().filter(|&claimed| is_acquired(claimed)).count()
}

/// Runs this number of tasks, which start at the same time.
async fn concurrently<S, T, F>(store: &Arc<S>, tasks: usize, task: impl Fn(Arc<S>) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(tasks));
    let spawn = || {
        let (start, task) = (start.clone(), task(Arc::clone(store)));
        tokio::spawn(async move {
            start.wait().await;
            task.await
        })
    };
    let outcomes = join_all(repeat_with(spawn).take(tasks)).await;
    outcomes.into_iter().map(|outcome| outcome.expect("no task fails")).collect()
}

/// The numbers of polls after which a call is dropped.
const DROPPED_AFTER: Range<usize> = 0..30;

/// Polls `call` this number of times and drops it.
async fn drop_after(polls: usize, call: impl Future) {
    let mut call = pin!(call);
    for _ in 0..polls {
        if call.as_mut().now_or_never().is_some() {
            return;
        }
        yield_now().await;
    }
}

/// Calls `ask` until it returns a value, for ten seconds.
pub async fn until<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), asking).await;
    answer.expect("the store notices the expiry within ten seconds")
}

#[track_caller]
fn assert_lasted(start: Instant, asked: Duration) {
    // The engine's clock and ours may differ by milliseconds.
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
