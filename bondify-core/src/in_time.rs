use std::time::Duration;

use futures_util::future::poll_immediate;
use tokio::time::{error::Elapsed, timeout};

/// Awaits `future` for `limit`. One that is ready at once needs no timer, and so no tokio runtime.
pub(crate) async fn in_time<F: Future + Unpin>(
    limit: Duration,
    mut future: F,
) -> Result<F::Output, Elapsed> {
    match poll_immediate(&mut future).await {
        Some(output) => Ok(output),
        None => timeout(limit, future).await,
    }
}
