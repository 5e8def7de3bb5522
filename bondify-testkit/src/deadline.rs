use std::time::Duration;

use tokio::{sync::watch, time::timeout};

/// Runs a test or a part of it, with a limit of a minute.
///
/// ```
/// use bondify_testkit::within_a_minute;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let answer = within_a_minute(async { 42 }).await;
/// assert_eq!(answer, 42);
/// # }
/// ```
///
/// # Panics
///
/// If `test` has not ended after a minute.
pub async fn within_a_minute<T>(test: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), test).await.expect("the test ends within a minute")
}

/// Waits until `state` has a wanted value.
pub(crate) async fn wait_until<T>(state: &watch::Sender<T>, wanted: impl FnMut(&T) -> bool) {
    let mut receiver = state.subscribe();
    let waited = timeout(Duration::from_secs(30), receiver.wait_for(wanted)).await;
    let changed = waited.expect("the wanted state is reached within half a minute");
    drop(changed.expect("the sender is alive"));
}
