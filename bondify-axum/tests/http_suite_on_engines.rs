//! The HTTP contract suite against axum with stores on real engines, at the URLs in
//! `BONDIFY_TEST_POSTGRES_URL`, `BONDIFY_TEST_MYSQL_URL` and `BONDIFY_TEST_REDIS_URL`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adapter;

use std::{process, sync::Arc, time::Duration};

use adapter::Axum;
use bondify_axum::DedupeStore;
use bondify_testkit::{
    engine_url,
    http_suite::{Adapter, App, Server},
};

const STORE_TIMEOUT: Duration = Duration::from_secs(60);

mod on_postgres {
    use bondify_sqlx::{PostgresStore, sqlx::postgres::PgPoolOptions};

    use super::*;

    struct OnPostgres;

    impl Adapter for OnPostgres {
        async fn store() -> Arc<dyn DedupeStore> {
            let pool = PgPoolOptions::new().max_connections(3).acquire_timeout(STORE_TIMEOUT);
            let pool = pool.connect(&url("BONDIFY_TEST_POSTGRES_URL")).await.unwrap();
            let store = PostgresStore::with_table(pool, "axum_http_suite").unwrap();
            store.migrate().await.unwrap();
            Arc::new(store)
        }

        async fn serve(app: App) -> Option<Server> {
            Axum::serve(app).await
        }
    }

    bondify_testkit::http_suite!(OnPostgres);
}

mod on_mariadb {
    use bondify_sqlx::{MySqlStore, sqlx::mysql::MySqlPoolOptions};

    use super::*;

    struct OnMariaDb;

    impl Adapter for OnMariaDb {
        async fn store() -> Arc<dyn DedupeStore> {
            let pool = MySqlPoolOptions::new().max_connections(3).acquire_timeout(STORE_TIMEOUT);
            let pool = pool.connect(&url("BONDIFY_TEST_MYSQL_URL")).await.unwrap();
            let store = MySqlStore::with_table(pool, "axum_http_suite").unwrap();
            store.migrate().await.unwrap();
            Arc::new(store)
        }

        async fn serve(app: App) -> Option<Server> {
            Axum::serve(app).await
        }
    }

    bondify_testkit::http_suite!(OnMariaDb);
}

/// Two instances behind one PgBouncer in transaction mode, whose calls share two connections.
mod behind_pgbouncer {
    use std::{
        str::FromStr,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use bondify_axum::{Claimed, EventKey, LeaseToken, StoreError, async_trait};
    use bondify_sqlx::{
        PostgresStore,
        sqlx::postgres::{PgConnectOptions, PgPoolOptions},
    };
    use test_engines::{PgBouncer, Upstream};

    use super::*;

    struct BehindPgBouncer;

    impl Adapter for BehindPgBouncer {
        async fn store() -> Arc<dyn DedupeStore> {
            let url = url("BONDIFY_TEST_POSTGRES_URL");
            let engine = PgConnectOptions::from_str(&url).unwrap();
            let address = format!("{}:{}", engine.get_host(), engine.get_port());
            let engine = Upstream::Tcp(address.parse().unwrap());
            let pooler = PgBouncer::transaction_mode(&engine).unwrap_or_else(|| process::exit(0));
            let instance = async || {
                let pool = PgPoolOptions::new().max_connections(3).acquire_timeout(STORE_TIMEOUT);
                let pool = pool.connect(&pooler.url("postgres")).await.unwrap();
                PostgresStore::with_table(pool, "axum_http_suite_pooled")
                    .unwrap()
                    .timeout(STORE_TIMEOUT)
            };
            let instances = [instance().await, instance().await];
            instances[0].migrate().await.unwrap();
            Arc::new(Instances { instances, turn: AtomicUsize::new(0), _pooler: pooler })
        }

        async fn serve(app: App) -> Option<Server> {
            Axum::serve(app).await
        }
    }

    bondify_testkit::http_suite!(BehindPgBouncer);

    /// Two stores that are called alternately.
    struct Instances {
        instances: [PostgresStore; 2],
        turn: AtomicUsize,
        _pooler: PgBouncer,
    }

    impl Instances {
        fn next(&self) -> &PostgresStore {
            &self.instances[self.turn.fetch_add(1, Relaxed) % 2]
        }
    }

    #[async_trait]
    impl DedupeStore for Instances {
        async fn claim(&self, key: &EventKey, lease: Duration) -> Result<Claimed, StoreError> {
            self.next().claim(key, lease).await
        }

        async fn renew(
            &self,
            key: &EventKey,
            token: &LeaseToken,
            lease: Duration,
        ) -> Result<bool, StoreError> {
            self.next().renew(key, token, lease).await
        }

        async fn complete(
            &self,
            key: &EventKey,
            token: &LeaseToken,
            retention: Duration,
        ) -> Result<bool, StoreError> {
            self.next().complete(key, token, retention).await
        }

        async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
            self.next().release(key, token).await
        }
    }
}

mod on_redis {
    use bondify_redis::{RedisStore, redis::Client};

    use super::*;

    struct OnRedis;

    impl Adapter for OnRedis {
        async fn store() -> Arc<dyn DedupeStore> {
            let client = Client::open(url("BONDIFY_TEST_REDIS_URL")).unwrap();
            Arc::new(RedisStore::open(client).timeout(STORE_TIMEOUT))
        }

        async fn serve(app: App) -> Option<Server> {
            Axum::serve(app).await
        }
    }

    bondify_testkit::http_suite!(OnRedis);
}

/// The URL of an engine. Without it the test process ends.
fn url(variable: &'static str) -> String {
    engine_url(variable).unwrap_or_else(|| process::exit(0))
}
