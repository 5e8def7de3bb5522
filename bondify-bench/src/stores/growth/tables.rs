//! Tables of the three engines, filled with SQL of each engine.

use std::{sync::Arc, time::Duration};

use bondify_core::{Claimed, DedupeStore, EventKey};
use bondify_sqlx::{
    MySqlStore, PostgresStore, SqliteStore,
    sqlx::{self, AssertSqlSafe, MySqlPool, PgPool, SqlitePool, query, query_scalar, raw_sql},
};
use tokio::runtime::{self, Runtime};

use super::{super::rates::Outcome, Expiry};

/// A database to create tables in.
pub(super) trait Tables: Sized {
    const NAME: &str;

    type Table: Table;

    fn connect(url: &str) -> Outcome<Self>;

    fn create(&self, name: &str) -> Outcome<Self::Table>;
}

/// A table of a dedupe store.
pub(super) trait Table: Sync {
    fn claim_and_complete(
        &self,
        key: &EventKey,
        lease: Duration,
        retention: Duration,
    ) -> Outcome<()>;

    fn purge(&self) -> Outcome<u64>;

    /// Adds completed keys in ascending order. In another order, an engine with its default settings
    /// takes an hour for ten million keys.
    fn fill(&self, keys: u64, expiry: Expiry) -> Outcome<()>;

    /// The size on disk, indexes included.
    fn bytes(&self) -> Outcome<f64>;

    fn remove(&self) -> Outcome<()>;
}

macro_rules! tables {
    ($engine:ident($pool:ty) named $name:literal, $table:ident, $store:ty) => {
        pub(super) struct $engine {
            runtime: Arc<Runtime>,
            pool: $pool,
        }

        pub(super) struct $table {
            runtime: Arc<Runtime>,
            pool: $pool,
            store: $store,
            name: String,
        }

        impl Tables for $engine {
            const NAME: &str = $name;

            type Table = $table;

            fn connect(url: &str) -> Outcome<Self> {
                let mut runtime = runtime::Builder::new_multi_thread();
                let runtime = Arc::new(runtime.worker_threads(1).enable_all().build()?);
                let pool = runtime.block_on(Self::open(url))?;
                Ok(Self { runtime, pool })
            }

            fn create(&self, name: &str) -> Outcome<$table> {
                let (runtime, pool) = (self.runtime.clone(), self.pool.clone());
                let store = <$store>::with_table(pool.clone(), name)?;
                let table = $table { runtime, pool, store, name: name.to_owned() };
                table.remove()?;
                table.runtime.block_on(table.store.migrate())?;
                Ok(table)
            }
        }

        impl $table {
            fn run(&self, statement: String) -> Outcome<()> {
                self.runtime.block_on(raw_sql(AssertSqlSafe(statement)).execute(&self.pool))?;
                Ok(())
            }
        }

        impl Table for $table {
            fn claim_and_complete(
                &self,
                key: &EventKey,
                lease: Duration,
                retention: Duration,
            ) -> Outcome<()> {
                self.runtime.block_on(claim_and_complete(&self.store, key, lease, retention))
            }

            fn purge(&self) -> Outcome<u64> {
                Ok(self.runtime.block_on(self.store.purge())?)
            }

            fn fill(&self, keys: u64, expiry: Expiry) -> Outcome<()> {
                self.run(Self::filling(&self.name, keys, expiry))
            }

            fn bytes(&self) -> Outcome<f64> {
                self.runtime.block_on(Self::size(&self.pool, &self.name))
            }

            fn remove(&self) -> Outcome<()> {
                self.run(format!("DROP TABLE IF EXISTS {}", self.name))
            }
        }
    };
}

tables!(PostgreSql(PgPool) named "PostgreSQL", PostgresTable, PostgresStore);
tables!(MariaDb(MySqlPool) named "MariaDB", MariaDbTable, MySqlStore);
tables!(Sqlite(SqlitePool) named "SQLite", SqliteTable, SqliteStore);

async fn claim_and_complete(
    store: &impl DedupeStore,
    key: &EventKey,
    lease: Duration,
    retention: Duration,
) -> Outcome<()> {
    let Claimed::Acquired(token) = store.claim(key, lease).await? else {
        return Err("the key is not fresh".into());
    };
    if !store.complete(key, &token, retention).await? {
        return Err("the lease is lost".into());
    }
    Ok(())
}

impl PostgreSql {
    async fn open(url: &str) -> Result<PgPool, sqlx::Error> {
        PgPool::connect(url).await
    }
}

impl PostgresTable {
    fn filling(table: &str, keys: u64, expiry: Expiry) -> String {
        let sign = match expiry {
            Expiry::Past => '-',
            Expiry::Later => '+',
        };
        format!(
            "INSERT INTO {table}
            SELECT decode(md5(number::text || random()), 'hex'), NULL,
                now() {sign} interval '1 d' + number * interval '1 ms'
            FROM generate_series(1, {keys}) AS number ORDER BY 1;
            ANALYZE {table}"
        )
    }

    async fn size(pool: &PgPool, table: &str) -> Outcome<f64> {
        let size = query_scalar::<_, i64>("SELECT pg_total_relation_size($1::regclass)");
        Ok(size.bind(table).fetch_one(pool).await? as f64)
    }
}

impl MariaDb {
    async fn open(url: &str) -> Result<MySqlPool, sqlx::Error> {
        MySqlPool::connect(url).await
    }
}

impl MariaDbTable {
    fn filling(table: &str, keys: u64, expiry: Expiry) -> String {
        format!(
            "INSERT INTO {table}
            SELECT UNHEX(MD5(CONCAT(seq, RAND()))), NULL, {} + seq FROM seq_1_to_{keys} ORDER BY 1;
            ANALYZE TABLE {table}",
            in_millis(expiry)
        )
    }

    async fn size(pool: &MySqlPool, table: &str) -> Outcome<f64> {
        let size = query_scalar::<_, i64>(
            "SELECT CAST(file_size AS SIGNED) FROM information_schema.innodb_sys_tablespaces
            WHERE name = CONCAT(DATABASE(), '/', ?)",
        );
        Ok(size.bind(table).fetch_one(pool).await? as f64)
    }
}

impl Sqlite {
    async fn open(file: &str) -> Result<SqlitePool, sqlx::Error> {
        SqlitePool::connect_with(SqliteStore::options(file)).await
    }
}

impl SqliteTable {
    fn filling(table: &str, keys: u64, expiry: Expiry) -> String {
        format!(
            "INSERT INTO {table}
            WITH RECURSIVE numbers(number) AS
                (SELECT 1 UNION ALL SELECT number + 1 FROM numbers LIMIT {keys})
            SELECT randomblob(16), NULL, {} + number FROM numbers ORDER BY 1",
            in_millis(expiry)
        )
    }

    async fn size(pool: &SqlitePool, _table: &str) -> Outcome<f64> {
        query("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await?;
        let size = "SELECT (page_count - freelist_count) * page_size FROM
            pragma_page_count, pragma_freelist_count, pragma_page_size";
        Ok(query_scalar::<_, i64>(size).fetch_one(pool).await? as f64)
    }
}

/// The earliest expiry as milliseconds since 1970: a day after it, or in the year 2100. Each key expires a
/// millisecond after the one before it, so that keys expire in another order than that of the table.
fn in_millis(expiry: Expiry) -> u64 {
    match expiry {
        Expiry::Past => 86_400_000,
        Expiry::Later => 4_102_444_800_000,
    }
}
