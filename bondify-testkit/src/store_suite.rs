//! The contract of [`DedupeStore`], as a suite of cases for any store.
//!
//! Each case is one rule of the contract and has its name. This is a whole test file of a store; it
//! needs `tokio` with the features `macros` and `rt-multi-thread` in the dev-dependencies:
//!
//! ```
//! use bondify_core::MemoryStore;
//!
//! // One test per case. The closure returns a new store for each case, or a handle to a shared
//! // engine: each case uses its own keys.
//! bondify_testkit::dedupe_store_suite!(async || MemoryStore::new());
//! ```
//!
//! Without a test harness, for example in a doctest, [`all`] runs every case and names the cases that
//! failed:
//!
//! ```
//! # use bondify_core::MemoryStore;
//! #[tokio::main]
//! async fn main() {
//!     bondify_testkit::store_suite::all(async || MemoryStore::new()).await;
//! }
//! ```
//!
//! The suite takes a few seconds. It works on slow and busy machines: the only limit is that a store must
//! notice an expiry within ten seconds.

#[doc(hidden)]
pub mod cases;

use std::panic::AssertUnwindSafe;

use bondify_core::DedupeStore;
use futures_util::{FutureExt, future::join_all};

/// Expands to one `#[tokio::test]` per case of [`store_suite`](crate::store_suite).
///
/// Takes an async closure or function that returns the store under test. See the
/// [module](crate::store_suite) for an example. To use the macro twice in a file, use two modules.
///
/// After the word `optional`, the closure returns an `Option`, and a case that gets `None` passes without
/// running. Use it for engines that are not on every machine.
///
/// ```
/// use bondify_core::MemoryStore;
/// use bondify_testkit::engine_url;
///
/// bondify_testkit::dedupe_store_suite!(optional async || {
///     let _url = engine_url("MY_TEST_STORE_URL")?; // connect to it
///     Some(MemoryStore::new())
/// });
/// ```
#[macro_export]
macro_rules! dedupe_store_suite {
    (optional $new_store:expr) => {
        $crate::__dedupe_store_cases! { __dedupe_store_tests, $new_store }
    };
    ($new_store:expr) => {
        $crate::dedupe_store_suite! { optional async || Some(($new_store)().await) }
    };
}

/// The list of cases, passed to the macro `$each`.
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
            different_keys_are_independent,
            namespaces_are_independent,
            many_keys_are_distinguished,
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
            every_lease_of_a_key_has_a_new_token,
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
                    $crate::store_suite::cases::$case(store).await;
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
        vec![$((stringify!($case), cases::$case($new_store().await).boxed_local()),)+]
    };
}

/// Runs all cases concurrently, each with a store from `new_store`.
///
/// ```
/// use bondify_core::MemoryStore;
/// use bondify_testkit::{ProbeStore, store_suite};
///
/// /// A wrapper of a store has to fulfil the contract too.
/// async fn the_wrapper_is_a_store() {
///     store_suite::all(async || ProbeStore::new(MemoryStore::new())).await;
/// }
/// ```
///
/// # Panics
///
/// If a case fails. The message has the names of the failed cases.
pub async fn all<S: DedupeStore>(new_store: impl AsyncFn() -> S) {
    let cases = crate::__dedupe_store_cases! { __dedupe_store_run, new_store };
    let outcomes = cases.into_iter().map(async |(name, case)| {
        let outcome = AssertUnwindSafe(case).catch_unwind().await;
        outcome.err().map(|_panic| name)
    });
    let failed: Vec<_> = join_all(outcomes).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "the store breaks its contract: {failed:?}");
}
