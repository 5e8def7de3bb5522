use std::{fmt, sync::Arc, time::Duration};

use sqlx::{Error, Pool};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    call::Call,
    engine::{Engine, PURGE_BATCH, Statements},
};

/// How long it may take to delete [`PURGE_BATCH`] rows of a large table on a busy disk.
const PURGE_TIMEOUT: Duration = Duration::from_secs(60);

/// A table in a database, and the statements on it. Clones share the background task
/// that purges it.
pub(crate) struct Table<E: Engine> {
    pub(crate) pool: Pool<E>,
    name: TableName,
    pub(crate) statements: Arc<Statements>,
    pub(crate) writers: Arc<Semaphore>,
    pub(crate) timeout: Duration,
    pub(crate) prepared: bool,
    purger: Option<Arc<AbortOnDropHandle<()>>>,
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
        Self { pool, name, statements, writers, timeout: E::TIMEOUT, prepared: false, purger: None }
    }

    pub(crate) async fn migrate(&self) -> Result<(), Error> {
        E::run_script(&self.pool, self.statements.migrate.clone()).await
    }

    pub(crate) async fn purge(&self) -> Result<u64, Error> {
        let mut purged = 0;
        loop {
            let call = Call::new(&self.statements.purge, PURGE_TIMEOUT);
            let batch = self.run(call, &mut false).await?.len();
            purged += batch as u64;
            if batch < PURGE_BATCH {
                return Ok(purged);
            }
        }
    }

    pub(crate) fn purge_every(self, interval: Duration) -> Self {
        let table = Self { purger: None, ..self.clone() };
        let purger = tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                match table.purge().await {
                    Ok(rows) => tracing::debug!(table = %table.name, rows, "purged expired rows"),
                    Err(error) => tracing::error!(
                        error = &error as &dyn std::error::Error,
                        table = %table.name,
                        "expired rows could not be purged; will try again",
                    ),
                }
            }
        });
        Self { purger: Some(Arc::new(AbortOnDropHandle::new(purger))), ..self }
    }
}

// Not derived: an engine is not `Clone`.
impl<E: Engine> Clone for Table<E> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            name: self.name.clone(),
            statements: self.statements.clone(),
            writers: self.writers.clone(),
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

/// A duration in milliseconds, rounded up: at least one, at most ten years.
pub(crate) fn millis(duration: Duration) -> i64 {
    const TEN_YEARS: i64 = 10 * 365 * 24 * 60 * 60 * 1000;
    let millis = duration.as_nanos().div_ceil(1_000_000);
    i64::try_from(millis).unwrap_or(TEN_YEARS).clamp(1, TEN_YEARS)
}

/// A name that is safe within SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    schema: Option<String>,
    table: String,
}

impl TableName {
    const DEFAULT: &str = "bondify_events";
    const INDEX_SUFFIX: &str = "_expires";

    /// PostgreSQL cuts longer identifiers off, so that two names could become one.
    const LONGEST_IDENTIFIER: usize = 63;

    fn parse(name: &str, has_schemas: bool) -> Result<Self, TableNameError> {
        let longest_table = Self::LONGEST_IDENTIFIER - Self::INDEX_SUFFIX.len();
        let (schema, table) = match name.split_once('.') {
            Some((schema, table)) if has_schemas => (Some(schema), table),
            _ => (None, name),
        };
        let is_valid = is_identifier(table, longest_table)
            && schema.is_none_or(|schema| is_identifier(schema, Self::LONGEST_IDENTIFIER));
        if !is_valid {
            return Err(TableNameError { name: name.to_owned(), has_schemas });
        }
        Ok(Self { schema: schema.map(str::to_owned), table: table.to_owned() })
    }

    /// The table's name, with its schema, as SQL. Quoted, so that it may be a keyword.
    pub(crate) fn quoted(&self, quote: char) -> String {
        let table = quoted(quote, &self.table);
        match &self.schema {
            Some(schema) => format!("{}.{table}", quoted(quote, schema)),
            None => table,
        }
    }

    /// The name of the table's index on `expires`, as SQL.
    pub(crate) fn quoted_index(&self, quote: char) -> String {
        quoted(quote, &format!("{}{}", self.table, Self::INDEX_SUFFIX))
    }
}

impl Default for TableName {
    fn default() -> Self {
        Self { schema: None, table: Self::DEFAULT.to_owned() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.table)
    }
}

/// An identifier, which has no quotes within.
fn quoted(quote: char, identifier: &str) -> String {
    format!("{quote}{identifier}{quote}")
}

fn is_identifier(text: &str, longest: usize) -> bool {
    text.len() <= longest
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

/// A name that no table is given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not a table name: up to 55 letters, digits and underscores, no digit first{}",
    if *has_schemas { ", maybe after a schema and a dot" } else { "" }
)]
pub struct TableNameError {
    name: String,
    has_schemas: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_name_is_an_identifier_maybe_in_a_schema() {
        let longest = "t".repeat(55);
        for name in ["bondify_events", "_", "Events2", &longest] {
            assert_eq!(TableName::parse(name, false).unwrap().to_string(), name);
            assert_eq!(TableName::parse(name, true).unwrap().to_string(), name);
        }
        let name = TableName::parse("shop.order", true).unwrap();
        assert_eq!(name.quoted('"'), r#""shop"."order""#);
        assert_eq!(name.quoted_index('"'), r#""order_expires""#);
        assert_eq!(name.quoted('`'), "`shop`.`order`");
    }

    #[test]
    fn what_could_be_anything_else_is_no_table_name() {
        let too_long = "t".repeat(56);
        let too_long_schema = format!("{}.events", "s".repeat(64));
        for name in [
            "",
            " ",
            "2events",
            "my events",
            "events;",
            "e\"vents",
            "e'vents",
            "événements",
            ".",
            "events.",
            ".events",
            "a.b.c",
            "shop..events",
            "shop.2",
            "x--",
            &too_long,
            &too_long_schema,
        ] {
            assert!(TableName::parse(name, true).is_err(), "{name:?}");
        }
        assert!(TableName::parse("shop.events", false).is_err());
    }

    #[test]
    fn the_error_says_what_a_table_name_is() {
        let error = TableName::parse("my events", false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"my events\" is not a table name: up to 55 letters, digits and underscores, no \
             digit first",
        );
        let error = TableName::parse("my events", true).unwrap_err();
        assert!(error.to_string().ends_with("no digit first, maybe after a schema and a dot"));
    }

    #[cfg(all(feature = "mysql", feature = "postgres", feature = "sqlite"))]
    #[test]
    fn the_readme_shows_what_migrate_creates() {
        use crate::engine::Dialect;

        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let readme = words(include_str!("../README.md"));
        for (statements, number) in [
            (sqlx::Postgres::statements(&TableName::default()), 2),
            (sqlx::Sqlite::statements(&TableName::default()), 2),
            (sqlx::MySql::statements(&TableName::default()), 1),
        ] {
            let script = words(&statements.migrate.replace("IF NOT EXISTS", "").replace('"', ""));
            let created: Vec<_> =
                script.split("; ").filter(|statement| statement.starts_with("CREATE")).collect();
            assert_eq!(created.len(), number, "{script}");
            for statement in created {
                assert!(readme.contains(statement), "{statement}");
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
