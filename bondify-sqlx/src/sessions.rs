//! The limit on server sessions. A connection that is dropped while a statement runs leaves a session on
//! the server until the statement ends, for example a commit that waits for a replica. The pool knows
//! nothing of these sessions, and would open new ones until the server refuses all clients.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use sqlx::{Connection as _, Error, Pool, pool::PoolConnection};
use tokio::{
    runtime::Handle,
    select,
    sync::{Notify, Semaphore},
    time::{sleep, timeout},
};

use crate::engine::Engine;

/// The time-out of the ping on a connection that is returned to the pool, and of its end.
pub(crate) const PONG_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a socket stays open for an answer that may still arrive, although other calls are answered:
/// the server can be slow.
const SLOW: Duration = Duration::from_secs(10);

/// How long a socket stays open while no call is answered. Without this limit a connection that became silent would
/// count for ever.
const SILENT: Duration = Duration::from_secs(600);

/// How long a session counts after its socket was closed without an answer.
const AFTER_CLOSE: Duration = Duration::from_secs(60);

/// Counts the connections that were dropped with a statement in flight, until they are known to be
/// closed. Together with the pool's connections they stay below twice the pool's size.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// One permit for each session beyond the pool's size.
    spare: Semaphore,
    limit: usize,
    unanswered: AtomicUsize,
    /// Notified at each answer while there are unanswered connections.
    answer: Notify,
}

impl Sessions {
    pub(crate) fn beside<E: Engine>(pool: &Pool<E>) -> Arc<Self> {
        let size = pool.options().get_max_connections() as usize;
        // At least one: a pool of one connection could otherwise never replace it.
        let spare = size.saturating_sub(1).max(1);
        let (limit, unanswered) = (size + spare, AtomicUsize::new(0));
        Arc::new(Self { spare: Semaphore::new(spare), limit, unanswered, answer: Notify::new() })
    }

    /// Returns an error if there is no room for another session.
    pub(crate) fn allow_another(&self) -> Result<(), Error> {
        let unanswered = self.unanswered.load(SeqCst);
        if unanswered < self.limit {
            return Ok(());
        }
        let text = format!(
            "{unanswered} connections wait for an answer of the database, which is the limit; \
             none is opened"
        );
        Err(Error::Protocol(text))
    }

    /// Notes that a call succeeded.
    pub(crate) fn answered(&self) {
        if self.unanswered.load(SeqCst) > 0 {
            self.answer.notify_waiters();
        }
    }

    /// Holds a connection with a statement in flight until its session is closed, as far as is known.
    async fn outlive<E: Engine>(&self, mut connection: PoolConnection<E>) {
        // The connection keeps its place in the pool until there is a spare session for it.
        let _permit = select! {
            biased;
            permit = self.spare.acquire() => permit,
            _answer = connection.ping() => {
                let _best_effort = timeout(PONG_TIMEOUT, connection.close()).await;
                return;
            }
            () = sleep(SILENT + AFTER_CLOSE) => return drop(connection.detach()),
        };
        let mut connection = connection.detach();
        if self.ends(connection.ping()).await {
            let _best_effort = timeout(PONG_TIMEOUT, connection.close()).await;
        } else {
            drop(connection);
            sleep(AFTER_CLOSE).await;
        }
    }

    /// Waits until the connection is answered or broken, for as long as that is likely. Returns whether it
    /// was.
    async fn ends(&self, answer: impl Future<Output = Result<(), Error>>) -> bool {
        let others_are_answered = async {
            sleep(SLOW).await;
            self.answer.notified().await;
        };
        select! {
            _answer = answer => true,
            () = others_are_answered => false,
            () = sleep(SILENT) => false,
        }
    }
}

/// One of the unanswered connections.
struct Counted(Arc<Sessions>);

impl Counted {
    fn new(sessions: Arc<Sessions>) -> Self {
        sessions.unanswered.fetch_add(1, SeqCst);
        Self(sessions)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.unanswered.fetch_sub(1, SeqCst);
    }
}

/// A connection with a statement in flight. If it is dropped before the answer, its session counts as
/// unanswered.
pub(crate) struct InFlight<E: Engine> {
    connection: Option<PoolConnection<E>>,
    sessions: Arc<Sessions>,
}

impl<E: Engine> InFlight<E> {
    pub(crate) fn new(connection: PoolConnection<E>, sessions: &Arc<Sessions>) -> Self {
        Self { connection: Some(connection), sessions: sessions.clone() }
    }

    pub(crate) fn connection(&mut self) -> &mut E::Connection {
        self.connection.as_mut().expect(UNTIL_ANSWERED)
    }

    /// Ends the guard: the statement was answered.
    pub(crate) fn answered(mut self) -> PoolConnection<E> {
        self.connection.take().expect(UNTIL_ANSWERED)
    }
}

const UNTIL_ANSWERED: &str = "the connection is here until the answer";

impl<E: Engine> Drop for InFlight<E> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        match Handle::try_current() {
            Ok(runtime) if E::IS_REMOTE => {
                let counted = Counted::new(self.sessions.clone());
                // A runtime that ends drops the connection too, and must not wait for its answer.
                connection.close_on_drop();
                runtime.spawn(async move { counted.0.outlive(connection).await });
            }
            Ok(_runtime) => drop(connection),
            Err(_no_runtime) => drop(connection.detach()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    fn sessions() -> Sessions {
        Sessions {
            spare: Semaphore::new(1),
            limit: 2,
            unanswered: AtomicUsize::new(1),
            answer: Notify::new(),
        }
    }

    async fn waited(
        sessions: &Sessions,
        answer: impl Future<Output = Result<(), Error>>,
    ) -> (bool, u64) {
        let start = Instant::now();
        let ends = sessions.ends(answer).await;
        (ends, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_or_a_broken_connection_ends_the_wait() {
        assert_eq!(waited(&sessions(), ready(Ok(()))).await, (true, 0));
        assert_eq!(waited(&sessions(), ready(Err(Error::PoolClosed))).await, (true, 0));
    }

    /// The server hangs: each closed socket would leave a session that nobody counts.
    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_stays_open_while_no_call_is_answered() {
        assert_eq!(waited(&sessions(), pending()).await, (false, 600));
    }

    /// The connection is silent, not the server.
    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed_when_other_calls_are_answered() {
        let sessions = sessions();
        let answers = async {
            loop {
                sleep(Duration::from_secs(1)).await;
                sessions.answered();
            }
        };
        select! {
            waited = waited(&sessions, pending()) => assert!((10..=11).contains(&waited.1), "{waited:?}"),
            () = answers => {}
        }
    }

    #[test]
    fn no_call_is_made_beyond_the_limit() {
        let sessions = sessions();
        sessions.allow_another().unwrap();
        sessions.unanswered.store(2, SeqCst);
        let error = sessions.allow_another().unwrap_err().to_string();
        assert!(error.contains("2 connections wait for an answer"), "{error}");
    }
}
