use std::{fmt, sync::Arc, time::Duration};

use bondify_core::{Event, Verifier};
use sqlx::{Error, Pool};

use crate::{
    engine::{Engine, Manner},
    name::TableNameError,
    store::{CHANGED_BY_OTHERS, fresh_token},
    table::{Table, millis},
};

/// A record of events, written in the transaction of their effect: `PostgresInbox`, `MySqlInbox` or
/// `SqliteInbox`.
///
/// The record and the effect commit together or not at all, so an event takes effect exactly once,
/// even if the process dies between the effect and the answer. A `Bondify` that is
/// [`verify_only`](bondify_core::Builder::verify_only) is enough for it. With a store, which the sign-in needs, it
/// works as well: the store answers the duplicates that it knows, and the inbox decides about the others.
/// [`record`](Self::record) has an example.
///
/// The inbox and a [`Store`](crate::Store) can share a table. A recorded event is a completed event
/// of the store, so a server that changes from the store to the inbox knows the events that are done.
/// A lease of the store is not a duplicate, because the handler that holds it may fail.
///
/// Clones share one pool and table.
///
#[doc = include_str!("docs/inbox.md")]
pub struct Inbox<E: Engine> {
    table: Table<E>,
    namespace: Option<Arc<str>>,
    retention: Duration,
}

impl<E: Engine> Inbox<E> {
    /// The minimum retention, and the default: the time for which a captured delivery verifies by
    /// default.
    pub const LEAST_RETENTION: Duration =
        Verifier::DEFAULT_TOLERANCE.saturating_add(Verifier::SKEW);

    /// Creates an inbox in the table `bondify_events`. `pool` is used to create and purge the table.
    /// The transactions that record events can be of any pool on the same database.
    #[must_use]
    pub fn new(pool: Pool<E>) -> Self {
        Self::of(Table::new(pool))
    }

    /// Creates an inbox in another table. See [`Store::with_table`](crate::Store::with_table).
    ///
    /// # Errors
    ///
    /// [`TableNameError`] if the name or its schema is not `[A-Za-z_][A-Za-z0-9_]*`, if the name is
    /// longer than 55 characters or the schema longer than 63, and if there is a schema on SQLite.
    pub fn with_table(pool: Pool<E>, name: &str) -> Result<Self, TableNameError> {
        Ok(Self::of(Table::named(pool, name)?))
    }

    fn of(table: Table<E>) -> Self {
        Self { table, namespace: None, retention: Self::LEAST_RETENTION }
    }

    /// Sets a namespace, which separates the events of this project from others in the same table.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into().into());
        self
    }

    /// Sets the time for which records are kept, at least [`LEAST_RETENTION`](Self::LEAST_RETENTION).
    /// If the `Bondify` has a tolerance above [`Verifier::DEFAULT_TOLERANCE`], set that tolerance plus
    /// [`Verifier::SKEW`].
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention.max(Self::LEAST_RETENTION);
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

    /// Deletes the expired records and returns their number. The inbox works without this, but its
    /// table grows. See [`Store::purge`](crate::Store::purge).
    ///
    /// # Errors
    ///
    /// The database's [`Error`], for example if there is no connection. Batches that were deleted
    /// before the error stay deleted.
    pub async fn purge(&self) -> Result<u64, Error> {
        self.table.purge().await
    }

    /// Starts a task that [purges](Self::purge) every `interval`. It ends when the last clone of this
    /// inbox is dropped. It logs an error and continues.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use = "it ends with the inbox that is returned"]
    pub fn purge_every(self, interval: Duration) -> Self {
        Self { table: self.table.purge_every(interval), ..self }
    }

    /// Records `event` in the transaction of `connection`, and returns whether it was recorded
    /// before. `&mut transaction` is a connection.
    ///
    /// **On a connection without a transaction the record commits at once**, and an event whose
    /// effect fails afterwards is lost.
    ///
    /// A duplicate in another transaction waits until this transaction has ended. It is then
    /// [`Duplicate`](Recorded::Duplicate) if this transaction committed, and [`New`](Recorded::New)
    /// otherwise. So record first, then make the changes.
    ///
    #[cfg_attr(feature = "sqlite", doc = include_str!("docs/record.md"))]
    ///
    /// # Errors
    ///
    /// The database's [`Error`], for example a connection that broke, a lock that was held for too
    /// long, or a missing table, and an [`Error::Protocol`] if a trigger has swallowed the record. Nothing
    /// is recorded then: roll back, answer with a 500, and Bondify
    /// delivers the event again. The inbox does not retry, because the transaction is yours.
    pub async fn record(
        &self,
        connection: &mut E::Connection,
        event: &Event,
    ) -> Result<Recorded, Error> {
        let key = match &self.namespace {
            Some(namespace) => event.key().within(namespace),
            None => event.key(),
        };
        let record = self.table.statements.record.clone();
        let fresh = -fresh_token().map_err(|error| Error::Io(error.into()))?;
        let numbers = [fresh, millis(self.retention)];
        let rows = E::run(connection, record, Some(&key), &numbers, Manner::default()).await?;
        match rows[..] {
            [Some(token)] if token == fresh => Ok(Recorded::New),
            [Some(..0) | None] => Ok(Recorded::Duplicate),
            _ => Err(Error::Protocol(CHANGED_BY_OTHERS.to_owned())),
        }
    }
}

// Not derived here and below, because an engine is neither `Clone` nor `Debug`.
impl<E: Engine> Clone for Inbox<E> {
    fn clone(&self) -> Self {
        Self {
            table: self.table.clone(),
            namespace: self.namespace.clone(),
            retention: self.retention,
        }
    }
}

impl<E: Engine> fmt::Debug for Inbox<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("table", &self.table)
            .field("namespace", &self.namespace)
            .field("retention", &self.retention)
            .finish()
    }
}

/// The result of [`Inbox::record`]: whether the event was recorded before.
#[must_use = "a duplicate must not take effect again"]
#[expect(clippy::exhaustive_enums, reason = "there is no third case")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The event was recorded now. It takes effect when this transaction commits.
    New,
    /// The event was recorded before, in another transaction or earlier in this one.
    Duplicate,
}
