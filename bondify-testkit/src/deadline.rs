use std::time::Duration;

use tokio::{sync::watch, time::timeout};

/// Runs a test, or a part of one, which fails if it hangs.
///
/// # Panics
///
/// After a minute.
pub async fn within_a_minute<T>(test: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), test).await.expect("the test ends within a minute")
}

/// Waits until what `state` is set to is as wanted.
pub(crate) async fn wait_until<T>(state: &watch::Sender<T>, wanted: impl FnMut(&T) -> bool) {
    let mut receiver = state.subscribe();
    let waited = timeout(Duration::from_secs(30), receiver.wait_for(wanted)).await;
    let changed = waited.expect("what is waited for happens within half a minute");
    drop(changed.expect("the sender is borrowed"));
}
