//! The store on an engine of its own, which is restarted under load.

use std::time::Duration;

use bondify_core::{Claimed, DedupeStore, EventKey, StoreError};
use bondify_testkit::within_a_minute;
use test_engines::Stop;
use tokio::{
    sync::watch,
    task::{JoinSet, block_in_place},
    time::timeout,
};

use super::engine::{self, Store};

/// Longer than the tests take.
const LONG: Duration = Duration::from_secs(3600);

/// The limit for a test, on a busy machine.
const IN_TIME: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_load_fails_in_time_and_forgets_nothing() {
    fails_in_time_and_forgets_nothing(Stop::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_under_load_fails_in_time_and_forgets_nothing() {
    fails_in_time_and_forgets_nothing(Stop::Crash).await;
}

async fn fails_in_time_and_forgets_nothing(stop: Stop) {
    let Some((mut engine, store)) = engine::start().await else { return };
    within_a_minute(async {
        let load = Load::start(&store);
        load.completes(500).await;
        block_in_place(|| engine.stop(stop));
        let refused = in_time(store.claim(&EventKey::new("while it is down", ""), LONG)).await;
        refused.expect_err("it is down");

        block_in_place(|| engine.start_again());
        load.completes(500).await;
        load.end().await.must_be_known_to(&store).await;
    })
    .await;
}

/// A load: tasks that claim and complete keys and continue after errors.
pub(crate) struct Load {
    tasks: JoinSet<Known>,
    completed: watch::Sender<usize>,
    goes_on: watch::Sender<bool>,
}

/// The keys that the store has acknowledged.
#[derive(Default)]
pub(crate) struct Known {
    completed: Vec<EventKey>,
    /// They may be completed, if that answer was lost.
    acquired: Vec<EventKey>,
}

impl Known {
    /// Asserts that the store knows all of these keys.
    pub(crate) async fn must_be_known_to(self, store: &Store) {
        for key in self.completed {
            assert_eq!(answer_to_claim(store, &key).await, Claimed::Completed);
        }
        for key in self.acquired {
            let claimed = answer_to_claim(store, &key).await;
            assert!(!matches!(claimed, Claimed::Acquired(_)), "{key} was acquired before");
        }
    }
}

impl Load {
    pub(crate) fn start(store: &Store) -> Self {
        let (completed, goes_on) = (watch::Sender::new(0), watch::Sender::new(true));
        let task = |task| {
            let (store, completed, goes_on) = (store.clone(), completed.clone(), goes_on.clone());
            async move {
                let mut known = Known::default();
                for number in 0.. {
                    if !*goes_on.borrow() {
                        break;
                    }
                    let key = EventKey::new(&format!("{task}"), format!("{number}"));
                    let claimed = in_time(store.claim(&key, LONG)).await;
                    let Ok(Claimed::Acquired(token)) = claimed else {
                        assert!(claimed.is_err(), "{key} is {claimed:?} without a claim before");
                        continue;
                    };
                    if let Ok(held) = in_time(store.complete(&key, &token, LONG)).await {
                        assert!(held, "{key} was lost");
                        known.completed.push(key);
                        completed.send_modify(|completed| *completed += 1);
                    } else {
                        known.acquired.push(key);
                    }
                }
                known
            }
        };
        Self { tasks: (0..16).map(task).collect(), completed, goes_on }
    }

    /// Waits until `more` keys have been completed.
    pub(crate) async fn completes(&self, more: usize) {
        let enough = *self.completed.borrow() + more;
        let mut completed = self.completed.subscribe();
        completed.wait_for(|&completed| completed >= enough).await.expect("the sender is alive");
    }

    pub(crate) async fn end(self) -> Known {
        self.goes_on.send_replace(false);
        let mut all = Known::default();
        for Known { completed, acquired } in self.tasks.join_all().await {
            all.completed.extend(completed);
            all.acquired.extend(acquired);
        }
        all
    }
}

/// Claims until the answer is not an error.
async fn answer_to_claim(store: &Store, key: &EventKey) -> Claimed {
    loop {
        if let Ok(claimed) = in_time(store.claim(key, LONG)).await {
            return claimed;
        }
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(IN_TIME, call).await.expect("the call ends in time")
}
