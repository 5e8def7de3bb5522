//! The rate of claims and completes, of a store and of its engine's own benchmark.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use bondify_core::{Claimed, DedupeStore, EventKey};
use futures_util::future::try_join_all;

use crate::{
    report::Row,
    rounds::{Variant, interleave, median},
};

pub(super) type Outcome<T> = Result<T, Box<dyn Error>>;

pub(super) const LEASE: Duration = Duration::from_secs(10);
/// Short, because the keys stay in an engine that runs on after the benchmark.
pub(super) const RETENTION: Duration = Duration::from_secs(60);

/// Claims and completes fresh keys, `in_flight` at the same time. Returns the rate per second.
pub(super) async fn rate(
    store: &impl DedupeStore,
    keys: &[EventKey],
    in_flight: usize,
) -> Outcome<f64> {
    let start = Instant::now();
    let share = keys.len().div_ceil(in_flight);
    try_join_all(keys.chunks(share).map(|keys| remember_all(store, keys))).await?;
    Ok(keys.len() as f64 / start.elapsed().as_secs_f64())
}

async fn remember_all(store: &impl DedupeStore, keys: &[EventKey]) -> Outcome<()> {
    for key in keys {
        let Claimed::Acquired(token) = store.claim(key, LEASE).await? else {
            return Err("the key is not fresh".into());
        };
        if !store.complete(key, &token, RETENTION).await? {
            return Err("the lease is lost".into());
        }
    }
    Ok(())
}

/// Keys that no earlier run used.
pub(super) fn fresh_keys(count: usize) -> Vec<EventKey> {
    let run = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), ());
    let key = |number: usize| EventKey::new("auth.confirmed", format!("{run}:{number}"));
    (0..count).map(key).collect()
}

/// Compares rates, each measured in turns.
pub(super) fn compare(
    rounds: usize,
    measure: String,
    ours: impl Fn() -> Outcome<f64>,
    theirs: impl Fn() -> Outcome<f64>,
) -> Outcome<Row> {
    ours()?; // to warm up
    theirs()?;
    let variants: &mut [Variant<'_, Outcome<f64>>] = &mut [Box::new(ours), Box::new(theirs)];
    let samples: Vec<Vec<f64>> = interleave(rounds, variants)
        .into_iter()
        .map(|samples| samples.into_iter().collect())
        .collect::<Outcome<_>>()?;
    let [ours, theirs] = [median(&samples[0]), median(&samples[1])];
    let row = Row::ratio(measure, &samples[0], &samples[1]);
    Ok(row.detail(format!("{ours:.0}/s / {theirs:.0}/s")))
}
