//! The HTTP contract suite against axum with stores on real engines, the ones that
//! `BONDIFY_TEST_POSTGRES_URL` and `BONDIFY_TEST_REDIS_URL` say.

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

/// Without its engines, this process has nothing to do.
fn url(variable: &'static str) -> String {
    engine_url(variable).unwrap_or_else(|| process::exit(0))
}
