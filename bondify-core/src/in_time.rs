use std::{pin::pin, time::Duration};

use futures_util::future::poll_immediate;
use tokio::time::{error::Elapsed, timeout};

/// Awaits `future` for `limit`. One that is ready at once needs no timer, and so no tokio runtime.
pub(crate) async fn in_time<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match poll_immediate(&mut future).await {
        Some(output) => Ok(output),
        None => timeout(limit, future).await,
    }
}
