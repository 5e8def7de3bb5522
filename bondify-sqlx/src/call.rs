//! Calls of a statement, with a time-out and retries on new connections.

use std::{io, iter, mem, sync::Arc, time::Duration};

use bondify_core::EventKey;
use sqlx::Error;
use tokio::time::{Instant, sleep};

use crate::{
    engine::{Engine, Manner, Remedy},
    table::Table,
};

/// The pauses before new connections. There is none before the first; then they double, because the
/// server may still be starting.
fn pauses() -> impl Iterator<Item = Duration> + Send {
    let doubled = |pause: &Duration| pause.checked_mul(2);
    iter::once(Duration::ZERO).chain(iter::successors(Some(Duration::from_millis(20)), doubled))
}

/// The time-out of the ping on a connection that is returned to the pool.
const PONG_TIMEOUT: Duration = Duration::from_secs(2);

/// A statement with its parameters and a time-out.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) statement: &'a Arc<str>,
    pub(crate) key: Option<&'a EventKey>,
    pub(crate) numbers: &'a [i64],
    /// The limit for all attempts together.
    pub(crate) timeout: Duration,
}

impl<'a> Call<'a> {
    pub(crate) fn new(statement: &'a Arc<str>, timeout: Duration) -> Self {
        Self { statement, key: None, numbers: &[], timeout }
    }
}

impl<E: Engine> Table<E> {
    /// Runs a statement in its own transaction. Retries it while there is a [`Remedy`] and time left.
    ///
    /// A statement runs twice if its first answer was lost. A claim then finds its own token, a
    /// renewal renews again, and the others find that the lease has ended.
    ///
    /// `may_have_run` is `true` afterwards if a statement was sent and not answered, even if this
    /// future is dropped.
    pub(crate) async fn run(
        &self,
        call: Call<'_>,
        may_have_run: &mut bool,
    ) -> Result<Vec<Option<i64>>, Error> {
        let start = Instant::now();
        // The first attempt gets half of the time, so that a silent connection leaves time for a second.
        let share = if E::IS_REMOTE { call.timeout / 2 } else { call.timeout };
        let mut pauses = pauses();
        loop {
            let limit = share.min(call.timeout.saturating_sub(start.elapsed()));
            let attempt = tokio::time::timeout(limit, self.attempt(call, limit, may_have_run));
            let error = match attempt.await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) => error,
                Err(_elapsed) => late(call.timeout),
            };
            let pause = match E::remedy(&error) {
                Remedy::None => return Err(error),
                Remedy::Repeat => Duration::ZERO,
                Remedy::Reconnect => {
                    self.drop_idle_connections();
                    pauses.next().unwrap_or(call.timeout)
                }
            };
            if start.elapsed() + pause >= call.timeout {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        call: Call<'_>,
        limit: Duration,
        may_have_run: &mut bool,
    ) -> Result<Vec<Option<i64>>, Error> {
        let Call { statement, key, numbers, .. } = call;
        // The connection first: the wait for it has a time-out, during which no turn must be held.
        let mut connection = self.pool.acquire().await?;
        let _turn = self.writers.acquire().await.ok();
        if E::IS_REMOTE {
            // A dropped connection would otherwise wait in the pool for its answer, without a time-out.
            connection.close_on_drop();
        }

        let might_before = mem::replace(may_have_run, true);
        // The engine's limit is shorter than ours, so that its own error arrives in time.
        let manner = Manner { prepared: self.prepared, limit: Some(limit * 4 / 5) };
        let answer = E::run(&mut connection, statement.clone(), key, numbers, manner).await;
        match &answer {
            Ok(_) => *may_have_run = false,
            Err(Error::Database(_)) => *may_have_run = might_before,
            Err(_) => {}
        }
        if !answer.as_ref().is_err_and(|error| E::remedy(error) == Remedy::Reconnect) {
            // In the background, like a drop, but with a time-out: sqlx waits for the answer to a
            // ping, and the connection may be silent by now.
            tokio::spawn(tokio::time::timeout(PONG_TIMEOUT, connection.return_to_pool()));
        }
        answer
    }

    /// Closes the pool's idle connections, which are likely to fail like the one that failed. The
    /// pool opens new ones.
    fn drop_idle_connections(&self) {
        for _ in 0..self.pool.num_idle() {
            let Some(idle) = self.pool.try_acquire() else { return };
            drop(idle.detach());
        }
    }
}

fn late(timeout: Duration) -> Error {
    let text = format!("no answer from the database within {timeout:?}");
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, text))
}
