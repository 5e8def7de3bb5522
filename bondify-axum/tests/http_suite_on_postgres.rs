//! The HTTP contract suite against axum with a store on PostgreSQL, the one that
//! `BONDIFY_TEST_POSTGRES_URL` says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adapter;

use std::{sync::Arc, time::Duration};

use adapter::Axum;
use bondify_axum::DedupeStore;
use bondify_sqlx::{PostgresStore, sqlx::postgres::PgPoolOptions};
use bondify_testkit::{
    engine_url,
    http_suite::{Adapter, App, Server},
};

struct OnPostgres;

impl Adapter for OnPostgres {
    async fn store() -> Arc<dyn DedupeStore> {
        let pool = PgPoolOptions::new()
            .max_connections(3)
            .acquire_timeout(Duration::from_secs(60))
            .connect(&engine_url("BONDIFY_TEST_POSTGRES_URL"))
            .await
            .unwrap();
        let store = PostgresStore::with_table(pool, "axum_http_suite").unwrap();
        store.migrate().await.unwrap();
        Arc::new(store)
    }

    async fn serve(app: App) -> Option<Server> {
        Axum::serve(app).await
    }
}

bondify_testkit::http_suite!(OnPostgres);
