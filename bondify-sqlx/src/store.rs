use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError, async_trait};
use sqlx::{Error, Pool};

use crate::{
    engine::Engine,
    table::{Table, TableNameError, millis},
};

/// A dedupe store in one table of an SQL database: `PostgresStore` or `SqliteStore`.
///
/// Each call is one statement, judged by the database's clock. A call that finds no free
/// connection waits for one as long as the pool's `acquire_timeout`. Clones share one pool
/// and table.
pub struct Store<E: Engine> {
    table: Table<E>,
}

impl<E: Engine> Store<E> {
    /// A store in the table `bondify_events`.
    #[must_use]
    pub fn new(pool: Pool<E>) -> Self {
        Self { table: Table::new(pool) }
    }

    /// A store in another table. On PostgreSQL the name may have a schema, as in
    /// `shop.bondify_events`; it is the table's exact name, upper and lower case included.
    ///
    /// # Errors
    ///
    /// [`TableNameError`] if the name, or its schema, is not `[A-Za-z_][A-Za-z0-9_]*` or
    /// too long.
    pub fn with_table(pool: Pool<E>, name: &str) -> Result<Self, TableNameError> {
        Ok(Self { table: Table::named(pool, name)? })
    }

    /// Creates the table and its index unless they are there. Any number of processes can
    /// do this at once.
    ///
    /// # Errors
    ///
    /// What the database says, for example that this user may not create tables.
    pub async fn migrate(&self) -> Result<(), Error> {
        self.table.migrate().await
    }

    /// Deletes the rows that have run out, a thousand per statement, and says how many
    /// those were. The store works without; its table just grows.
    ///
    /// # Errors
    ///
    /// What the database says. The rows deleted before it did are gone.
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

    /// Runs one of the statements on one key.
    async fn run(
        &self,
        statement: &Arc<str>,
        key: &EventKey,
        numbers: &[i64],
    ) -> Result<Vec<Option<i64>>, StoreError> {
        self.table.run(statement, Some(key), numbers).await.map_err(StoreError::new)
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
        let claim = &self.table.statements.claim;
        let fresh = fresh_token();
        let tokens = self.run(claim, key, &[to_column(fresh), millis(lease)]).await?;
        match tokens[..] {
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
        Ok(!self.run(renew, key, &[to_column(*token), millis(lease)]).await?.is_empty())
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let complete = &self.table.statements.complete;
        Ok(!self.run(complete, key, &[to_column(*token), millis(retention)]).await?.is_empty())
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        let release = &self.table.statements.release;
        Ok(!self.run(release, key, &[to_column(*token)]).await?.is_empty())
    }
}

/// 64 random bits: the standard library's, seeded by the operating system, differ from one
/// hasher to the next.
fn fresh_token() -> LeaseToken {
    LeaseToken::new(RandomState::new().hash_one(()))
}

fn to_column(token: LeaseToken) -> i64 {
    token.get().cast_signed()
}
