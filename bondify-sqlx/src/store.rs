use std::{fmt, sync::Arc, time::Duration};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError, async_trait};
use sqlx::{Error, Pool};
use tokio::{runtime::Handle, time::sleep};

use crate::{
    call::Call,
    engine::Engine,
    name::TableNameError,
    table::{Table, millis},
};

/// A dedupe store in one table of an SQL database: `PostgresStore`, `MySqlStore` or `SqliteStore`,
/// each with an example.
///
/// Each call is one message with one transaction, and ends within the [`timeout`](Self::timeout). Its
/// result is read from the row, so that triggers and columns of other programs do not change it. A row that
/// is not as the call left it is an error. All times are by the database's clock. Clones share one pool and
/// table.
///
/// A row of the table is a lease if its token is positive, and a completed event otherwise. It contains
/// nothing personal: the key is a digest. Projects that share a table need a
/// [namespace](bondify_core::Builder::namespace) each.
pub struct Store<E: Engine> {
    pub(crate) table: Table<E>,
}

impl<E: Engine> Store<E> {
    /// Creates a store in the table `bondify_events`.
    #[must_use]
    pub fn new(pool: Pool<E>) -> Self {
        Self { table: Table::new(pool) }
    }

    /// Creates a store in another table. On PostgreSQL the name may have a schema, and on MySQL a
    /// database, as in `shop.bondify_events`. Upper and lower case are kept.
    ///
    /// # Errors
    ///
    /// [`TableNameError`] if the name or its schema is not `[A-Za-z_][A-Za-z0-9_]*`, if the name is
    /// longer than 55 characters or the schema longer than 63, and if there is a schema on SQLite.
    pub fn with_table(pool: Pool<E>, name: &str) -> Result<Self, TableNameError> {
        Ok(Self { table: Table::named(pool, name)? })
    }

    /// Sets the time-out of a call, including the wait for a connection. The default is 4 s on SQLite
    /// and 2 s on the others. The pool's `acquire_timeout` applies too, if it is shorter.
    ///
    /// Retries are made within this time. A call is retried after a serialization failure or a deadlock,
    /// and after a pause if the server has no room for another connection. On PostgreSQL, MySQL and
    /// MariaDB, it is retried on a new connection if the connection breaks, leads to a server that is
    /// read-only or shuts down, or has not answered after half of the time-out; the pool's idle
    /// connections are then closed.
    ///
    /// A connection that has not answered leaves a session on the server, for example while commits wait for
    /// a replica. These sessions and the pool's connections stay below twice the pool's size (two for a pool
    /// of one): if there are that many, calls fail at once. A session counts until the server answers or
    /// closes the connection. If other calls succeed meanwhile, the connection is closed after 10 s, and
    /// otherwise after 10 minutes. Its session then counts for another minute.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.table.timeout = timeout;
        self
    }

    /// Creates the table and its index unless they exist. Any number of processes can do this at the
    /// same time.
    ///
    /// # Errors
    ///
    /// The database's [`Error`], for example if this user may not create tables or if there is no
    /// connection.
    pub async fn migrate(&self) -> Result<(), Error> {
        self.table.migrate().await
    }

    /// Deletes the expired rows and returns their number. The store works without this, but its table
    /// grows.
    ///
    /// It deletes up to 100 rows per statement and pauses in between, so that half of the time is left to
    /// claims. Several instances may purge at the same time.
    ///
    /// # Errors
    ///
    /// The database's [`Error`], for example if there is no connection. Batches that were deleted
    /// before the error stay deleted.
    pub async fn purge(&self) -> Result<u64, Error> {
        self.table.purge().await
    }

    /// Starts a task that [purges](Self::purge) every `interval`. It ends when the last clone of this
    /// store is dropped. It logs an error and continues.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use = "it ends with the store that is returned"]
    pub fn purge_every(self, interval: Duration) -> Self {
        Self { table: self.table.purge_every(interval) }
    }

    /// The statements that claim and complete, for a benchmark that runs them without the store.
    #[doc(hidden)]
    #[must_use]
    pub fn claim_and_complete(&self) -> [&str; 2] {
        [&self.table.statements.claim, &self.table.statements.complete]
    }

    /// Runs a statement on the lease of the token that is the first of `numbers`. Returns whether the
    /// lease was held, in which case the statement returns the rows `done`.
    async fn run_if_held(
        &self,
        statement: &Arc<str>,
        key: &EventKey,
        numbers: &[i64],
        done: &[Option<i64>],
    ) -> Result<bool, StoreError> {
        if self.run(statement, key, numbers).await? == done {
            return Ok(true);
        }
        let held = self.run(&self.table.statements.held, key, &numbers[..1]).await?;
        if held == [Some(0)] { Ok(false) } else { Err(StoreError::new(CHANGED_BY_OTHERS)) }
    }

    async fn run(
        &self,
        statement: &Arc<str>,
        key: &EventKey,
        numbers: &[i64],
    ) -> Result<Vec<Option<i64>>, StoreError> {
        let call = Call { key: Some(key), numbers, ..Call::new(statement, self.table.timeout) };
        self.table.run(call, &mut false).await.map_err(StoreError::new)
    }
}

/// A claim in progress. If it ends without an answer, because of the time-out or because its future
/// was dropped, the key may be acquired now or later: the drop releases it.
struct Claim<'a, E: Engine> {
    store: &'a Store<E>,
    key: EventKey,
    token: LeaseToken,
    may_have_run: bool,
}

impl<E: Engine> Drop for Claim<'_, E> {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.may_have_run {
            let (store, key, token) = (self.store.clone(), self.key, self.token);
            runtime.spawn(async move {
                // Twice, because the first release may arrive before the claim.
                for _ in 0..2 {
                    if matches!(store.release(&key, &token).await, Ok(true)) {
                        return;
                    }
                    sleep(store.table.timeout).await;
                }
            });
        }
    }
}

// Not derived here and below, because an engine is neither `Clone` nor `Debug`.
impl<E: Engine> Clone for Store<E> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone() }
    }
}

impl<E: Engine> fmt::Debug for Store<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("table", &self.table).finish()
    }
}

#[async_trait]
impl<E: Engine> DedupeStore for Store<E> {
    async fn claim(&self, key: &EventKey, lease: Duration) -> Result<Claimed, StoreError> {
        let fresh = fresh_token().map_err(StoreError::new)?;
        let numbers = &[fresh, millis(lease)];
        let statement = &self.table.statements.claim;
        let call = Call { key: Some(key), numbers, ..Call::new(statement, self.table.timeout) };

        let token = LeaseToken::new(fresh.cast_unsigned());
        let mut claim = Claim { store: self, key: *key, token, may_have_run: false };
        let tokens = self.table.run(call, &mut claim.may_have_run).await;
        match tokens.map_err(StoreError::new)?[..] {
            // Also if a first attempt acquired the key and its answer was lost.
            [Some(held)] if held == fresh => Ok(Claimed::Acquired(token)),
            [Some(another)] if another > 0 => Ok(Claimed::InFlight),
            [Some(..0) | None] => Ok(Claimed::Completed),
            _ => Err(StoreError::new(CHANGED_BY_OTHERS)),
        }
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let (renew, token) = (&self.table.statements.renew, to_column(*token));
        self.run_if_held(renew, key, &[token, millis(lease)], &[Some(token)]).await
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let (complete, token) = (&self.table.statements.complete, to_column(*token));
        let done = if E::READS_BACK { &[Some(token), None][..] } else { &[None] };
        self.run_if_held(complete, key, &[token, millis(retention)], done).await
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        let (release, token) = (&self.table.statements.release, to_column(*token));
        self.run_if_held(release, key, &[token], &[Some(token)]).await
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.advice().await
    }
}

/// The error for rows that no statement of this crate leaves.
pub(crate) const CHANGED_BY_OTHERS: &str =
    "the database did not do what the statement says: check the table for triggers and rules";

/// A new token, as a column. It comes from the system, because copies of a virtual machine could otherwise
/// draw the same.
pub(crate) fn fresh_token() -> Result<i64, getrandom::Error> {
    Ok((getrandom::u64()? >> 1 | 1).cast_signed())
}

fn to_column(token: LeaseToken) -> i64 {
    token.get().cast_signed()
}
