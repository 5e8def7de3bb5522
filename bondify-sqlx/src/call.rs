//! A call of a statement: in time, and on a connection that leads to the right server.

use std::{io, iter, mem, sync::Arc, time::Duration};

use bondify_core::EventKey;
use sqlx::Error;
use tokio::time::{Instant, sleep};

use crate::{
    engine::{Engine, Manner, Remedy},
    table::Table,
};

/// The pauses before new connections: none before the first, then longer and longer ones, as
/// the server may not be there yet.
fn pauses() -> impl Iterator<Item = Duration> + Send {
    let doubled = |pause: &Duration| pause.checked_mul(2);
    iter::once(Duration::ZERO).chain(iter::successors(Some(Duration::from_millis(20)), doubled))
}

/// How long a connection that has answered may take to answer a ping.
const PONG_TIMEOUT: Duration = Duration::from_secs(2);

/// One of the statements with its parameters, and a time-out.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) statement: &'a Arc<str>,
    pub(crate) key: Option<&'a EventKey>,
    pub(crate) numbers: &'a [i64],
    /// How long all attempts may take together.
    pub(crate) timeout: Duration,
}

impl<'a> Call<'a> {
    pub(crate) fn new(statement: &'a Arc<str>, timeout: Duration) -> Self {
        Self { statement, key: None, numbers: &[], timeout }
    }
}

impl<E: Engine> Table<E> {
    /// Runs a statement in a transaction of its own, again as long as there is a
    /// [`Remedy`] and time.
    ///
    /// Every statement may run twice when an answer was lost. A claim then finds its own
    /// token, a renewal renews again, and the others find that the lease has ended.
    ///
    /// `may_have_run` is left `true` if the call ends, in whichever way, with a statement sent
    /// and not answered.
    pub(crate) async fn run(
        &self,
        call: Call<'_>,
        may_have_run: &mut bool,
    ) -> Result<Vec<Option<i64>>, Error> {
        let start = Instant::now();
        // Time for a second attempt, if the connection of the first has gone deaf.
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
        // In this order, as the pool has a time-out.
        let mut connection = self.pool.acquire().await?;
        let _turn = self.writers.acquire().await.ok();
        if E::IS_REMOTE {
            // The pool would first wait for the answer, for ever if the connection is deaf.
            connection.close_on_drop();
        }

        let might_before = mem::replace(may_have_run, true);
        // The engine's limit is less than ours, so that its own word arrives in time.
        let manner = Manner { prepared: self.prepared, limit: Some(limit * 4 / 5) };
        let answer = E::run(&mut connection, statement.clone(), key, numbers, manner).await;
        match &answer {
            Ok(_) => *may_have_run = false,
            Err(Error::Database(_)) => *may_have_run = might_before,
            Err(_) => {}
        }
        if !answer.as_ref().is_err_and(|error| E::remedy(error) == Remedy::Reconnect) {
            // In the background, as dropping it does, but with a time-out: sqlx waits for a
            // pong, and the connection may have gone deaf since.
            tokio::spawn(tokio::time::timeout(PONG_TIMEOUT, connection.return_to_pool()));
        }
        answer
    }

    /// Closes the connections that are as old as the one that failed, and so are likely to
    /// fail as well. The pool opens new ones.
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
