//! Calls of a statement, with a time-out and retries on new connections.

use std::{io, iter, mem, pin::pin, sync::Arc, time::Duration};

use bondify_core::EventKey;
use sqlx::{Error, pool::PoolConnection};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    engine::{Engine, Manner, Remedy},
    sessions::{InFlight, PONG_TIMEOUT},
    table::Table,
};

/// The pauses before new connections. There is none before the first; then they grow, because the
/// server may still be starting.
fn pauses() -> impl Iterator<Item = Duration> + Send {
    let longer = |&pause: &Duration| Some((2 * pause).min(LONGEST_PAUSE));
    iter::once(Duration::ZERO).chain(iter::successors(Some(SHORT_PAUSE), longer))
}

const SHORT_PAUSE: Duration = Duration::from_millis(20);

const LONGEST_PAUSE: Duration = Duration::from_millis(250);

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
        let mut last_error = None;
        loop {
            self.sessions.allow_another()?;
            let limit = share.min(call.timeout.saturating_sub(start.elapsed()));
            let mut sent = false;
            let attempt = timeout(limit, self.attempt(call, limit, may_have_run, &mut sent));
            let (error, is_late) = match attempt.await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) => (error, false),
                Err(_elapsed) => (late(call.timeout), true),
            };
            let pause = match E::remedy(&error) {
                Remedy::GiveUp => return Err(error),
                Remedy::Again => Duration::ZERO,
                Remedy::Wait => pauses.next().unwrap_or_default().max(SHORT_PAUSE),
                Remedy::Reconnect => {
                    // Only an error of a connection that was in use says something about the idle ones.
                    if sent {
                        self.close_idle_connections();
                    }
                    pauses.next().unwrap_or_default()
                }
            };
            if start.elapsed() + pause >= call.timeout {
                // An error of the server says more than the time-out of the last attempt.
                return Err(last_error.filter(|_| is_late).unwrap_or(error));
            }
            if !is_late {
                last_error = Some(error);
            }
            sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        call: Call<'_>,
        limit: Duration,
        may_have_run: &mut bool,
        sent: &mut bool,
    ) -> Result<Vec<Option<i64>>, Error> {
        let Call { statement, key, numbers, .. } = call;
        // The connection first: the wait for it has a time-out, during which no turn must be held.
        let connection = self.connection().await?;
        let _turn = self.writers.acquire().await.ok();
        let mut in_flight = InFlight::new(connection, &self.sessions);

        *sent = true;
        let might_before = mem::replace(may_have_run, true);
        // The engine's limit is shorter than ours, so that its own error arrives in time.
        let manner = Manner { prepared: self.prepared, limit: Some(limit * 4 / 5) };
        let answer = E::run(in_flight.connection(), statement.clone(), key, numbers, manner).await;
        match &answer {
            Ok(_) => {
                *may_have_run = false;
                self.sessions.answered();
            }
            Err(Error::Database(_)) => *may_have_run = might_before,
            Err(_) => {}
        }
        let mut connection = in_flight.answered();
        if answer.as_ref().is_err_and(|error| E::remedy(error) == Remedy::Reconnect) {
            connection.close_on_drop();
        } else {
            // In the background, like a drop, but with a time-out: sqlx waits for the answer to a
            // ping, and the connection may be silent by now.
            tokio::spawn(timeout(PONG_TIMEOUT, connection.return_to_pool()));
        }
        answer
    }

    /// Returns a connection of the pool, also one that becomes idle while a new one is being made: the
    /// server may have no room for a new one.
    async fn connection(&self) -> Result<PoolConnection<E>, Error> {
        let mut acquired = pin!(self.pool.acquire());
        loop {
            if let Ok(connection) = timeout(SHORT_PAUSE, &mut acquired).await {
                return connection;
            }
            if let Some(idle) = self.pool.try_acquire() {
                return Ok(idle);
            }
        }
    }

    /// Closes the pool's idle connections, which are likely to fail like the one that failed. The
    /// pool opens new ones.
    fn close_idle_connections(&self) {
        for _ in 0..self.pool.num_idle() {
            let Some(idle) = self.pool.try_acquire() else { return };
            tokio::spawn(timeout(PONG_TIMEOUT, idle.close()));
        }
    }
}

fn late(timeout: Duration) -> Error {
    let text = format!("no answer from the database within {timeout:?}");
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, text))
}
