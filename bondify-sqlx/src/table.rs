use std::{fmt, sync::Arc, time::Duration};

use sqlx::{Error, Pool};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    engine::{Engine, Statements},
    name::{TableName, TableNameError},
    sessions::Sessions,
};

/// A table in a database with its statements. Clones share the background task that purges it.
pub(crate) struct Table<E: Engine> {
    pub(crate) pool: Pool<E>,
    pub(crate) name: TableName,
    pub(crate) statements: Arc<Statements>,
    pub(crate) writers: Arc<Semaphore>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) timeout: Duration,
    pub(crate) prepared: bool,
    pub(crate) purger: Option<Arc<AbortOnDropHandle<()>>>,
}

impl<E: Engine> Table<E> {
    pub(crate) fn new(pool: Pool<E>) -> Self {
        Self::with_name(pool, TableName::default())
    }

    pub(crate) fn named(pool: Pool<E>, name: &str) -> Result<Self, TableNameError> {
        Ok(Self::with_name(pool, TableName::parse(name, E::HAS_SCHEMAS)?))
    }

    fn with_name(pool: Pool<E>, name: TableName) -> Self {
        let statements = Arc::new(E::statements(&name));
        let writers = Arc::new(Semaphore::new(E::WRITERS));
        let sessions = Sessions::beside(&pool);
        Self {
            pool,
            name,
            statements,
            writers,
            sessions,
            timeout: E::TIMEOUT,
            prepared: false,
            purger: None,
        }
    }

    pub(crate) async fn migrate(&self) -> Result<(), Error> {
        E::run_script(&self.pool, self.statements.migrate.clone()).await
    }
}

// Not derived, because an engine is not `Clone`.
impl<E: Engine> Clone for Table<E> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            name: self.name.clone(),
            statements: self.statements.clone(),
            writers: self.writers.clone(),
            sessions: self.sessions.clone(),
            timeout: self.timeout,
            prepared: self.prepared,
            purger: self.purger.clone(),
        }
    }
}

/// Prints the name only.
impl<E: Engine> fmt::Debug for Table<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}

/// A duration in milliseconds, rounded up: at least 1, at most ten years.
pub(crate) fn millis(duration: Duration) -> i64 {
    const TEN_YEARS: i64 = 10 * 365 * 24 * 60 * 60 * 1000;
    let millis = duration.as_nanos().div_ceil(1_000_000);
    i64::try_from(millis).unwrap_or(TEN_YEARS).clamp(1, TEN_YEARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(feature = "mysql", feature = "postgres", feature = "sqlite"))]
    #[test]
    fn the_documentation_shows_what_migrate_creates() {
        use crate::engine::Dialect;

        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let table = TableName::default();
        for (statements, number, page) in [
            (sqlx::Postgres::statements(&table), 2, include_str!("docs/postgres.md")),
            (sqlx::Sqlite::statements(&table), 2, include_str!("docs/sqlite.md")),
            (sqlx::MySql::statements(&table), 1, include_str!("docs/mysql.md")),
        ] {
            let page = words(page);
            let script = words(&statements.migrate.replace("IF NOT EXISTS", "").replace('"', ""));
            let created: Vec<_> =
                script.split("; ").filter(|statement| statement.starts_with("CREATE")).collect();
            assert_eq!(created.len(), number, "{script}");
            for statement in created {
                assert!(page.contains(statement), "{statement}");
            }
        }
    }

    #[test]
    fn durations_are_rounded_up_to_a_millisecond_and_end_at_ten_years() {
        let ten_years = Duration::from_secs(10 * 365 * 24 * 60 * 60);
        for (duration, expected) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(1), 1),
            (Duration::from_nanos(1_000_001), 2),
            (ten_years, 315_360_000_000),
            (2 * ten_years, 315_360_000_000),
            (Duration::MAX, 315_360_000_000),
        ] {
            assert_eq!(millis(duration), expected, "{duration:?}");
        }
    }
}
