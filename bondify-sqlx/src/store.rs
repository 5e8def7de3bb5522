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

/// A dedupe store in one table of an SQL database: `PostgresStore`, `MySqlStore` or
/// `SqliteStore`.
///
/// Each call is one statement, judged by the database's clock, and ends within the
/// [`timeout`](Self::timeout). Clones share one pool and table.
pub struct Store<E: Engine> {
    pub(crate) table: Table<E>,
}

impl<E: Engine> Store<E> {
    /// A store in the table `bondify_events`.
    #[must_use]
    pub fn new(pool: Pool<E>) -> Self {
        Self { table: Table::new(pool) }
    }

    /// A store in another table. On PostgreSQL the name may have a schema, and on
    /// MySQL a database, as in `shop.bondify_events`; it is the table's exact name, upper and lower case included.
    ///
    /// # Errors
    ///
    /// [`TableNameError`] if the name, or its schema, is not `[A-Za-z_][A-Za-z0-9_]*` or
    /// too long.
    pub fn with_table(pool: Pool<E>, name: &str) -> Result<Self, TableNameError> {
        Ok(Self { table: Table::named(pool, name)? })
    }

    /// Sets how long a call may take, waiting for a connection included: 4 s on SQLite and
    /// 2 s on the others unless set. The pool's `acquire_timeout`, if shorter, comes first.
    ///
    /// On all but SQLite this is also the time for retries. A call is made again, on a new
    /// connection, when the connection breaks, leads to a server that is read-only or shuts
    /// down, or has not answered after half of the time-out. The pool's idle connections are
    /// closed with it. A call is made again as well after a serialization failure or a
    /// deadlock.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.table.timeout = timeout;
        self
    }

    /// Creates the table and its index unless they are there. Any number of processes can
    /// do this at once.
    ///
    /// # Errors
    ///
    /// The database's error, for example that this user may not create tables.
    pub async fn migrate(&self) -> Result<(), Error> {
        self.table.migrate().await
    }

    /// Deletes the rows that have run out, a thousand per statement, and says how many
    /// those were. The store works without; its table just grows.
    ///
    /// # Errors
    ///
    /// The database's error. The rows deleted before it did are gone.
    pub async fn purge(&self) -> Result<u64, Error> {
        self.table.purge().await
    }

    /// Purges in the background, in a task that ends with the last clone of this store.
    /// A failure is logged, and no reason to stop.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use = "it ends with the store that is returned"]
    pub fn purge_every(self, interval: Duration) -> Self {
        Self { table: self.table.purge_every(interval) }
    }

    /// The statements that claim and complete, for a benchmark to run them without the store.
    #[doc(hidden)]
    #[must_use]
    pub fn claim_and_complete(&self) -> [&str; 2] {
        [&self.table.statements.claim, &self.table.statements.complete]
    }

    /// Runs one of the statements by which the holder of `token` settles or renews its lease.
    /// `false` if it holds none.
    async fn run_if_held(
        &self,
        statement: &Arc<str>,
        key: &EventKey,
        numbers: &[i64],
    ) -> Result<bool, StoreError> {
        let call = Call { key: Some(key), numbers, ..Call::new(statement, self.table.timeout) };
        let rows = self.table.run(call, &mut false).await.map_err(StoreError::new)?;
        Ok(!rows.is_empty())
    }
}

/// A claim whose caller does not wait for the answer any more, because of the time-out or
/// because it was dropped. It may have been acquired, or may yet be: it is released.
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
                // Twice, since the first release may overtake the claim.
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

// Not derived, here and below: an engine is neither `Clone` nor `Debug`.
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
        // From the system, as copies of a virtual machine could otherwise draw the same.
        let random = getrandom::u64().map_err(StoreError::new)?;
        let fresh = LeaseToken::new(random >> 2 | LEAST_TOKEN);
        let numbers = &[to_column(fresh), millis(lease)];
        let statement = &self.table.statements.claim;
        let call = Call { key: Some(key), numbers, ..Call::new(statement, self.table.timeout) };

        let mut claim = Claim { store: self, key: *key, token: fresh, may_have_run: false };
        let tokens = self.table.run(call, &mut claim.may_have_run).await;
        match tokens.map_err(StoreError::new)?[..] {
            // Also if a first attempt acquired it whose answer got lost.
            [Some(token)] if token == to_column(fresh) => Ok(Claimed::Acquired(fresh)),
            [Some(_another)] => Ok(Claimed::InFlight),
            [None] => Ok(Claimed::Completed),
            _ => Err(StoreError::new("the claim was dropped, maybe by a trigger or a rule")),
        }
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let renew = &self.table.statements.renew;
        self.run_if_held(renew, key, &[to_column(*token), millis(lease)]).await
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let complete = &self.table.statements.complete;
        self.run_if_held(complete, key, &[to_column(*token), millis(retention)]).await
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        self.run_if_held(&self.table.statements.release, key, &[to_column(*token)]).await
    }
}

/// Tokens are positive as the engines' integers, and larger than all that an engine may answer
/// besides a token.
const LEAST_TOKEN: u64 = 1 << 62;

fn to_column(token: LeaseToken) -> i64 {
    token.get().cast_signed()
}
