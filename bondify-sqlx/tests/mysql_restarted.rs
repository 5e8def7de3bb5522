//! The store on its own MariaDB, which is restarted under load.

#[path = "cases/restarts.rs"]
mod restarts;

mod engine {
    use std::time::Duration;

    pub(crate) use bondify_sqlx::MySqlStore as Store;
    use bondify_sqlx::sqlx::mysql::MySqlPoolOptions as PoolOptions;
    use test_engines::Engine;

    /// The time-out for a connection of the pool.
    const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

    /// A MariaDB of its own, and a store on it.
    pub(crate) async fn start() -> Option<(Engine, Store)> {
        let engine = Engine::mariadb()?;
        let pool = PoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false);
        let store =
            Store::new(pool.connect(engine.url()).await.expect("the engine can be reached"));
        store.migrate().await.expect("the database is empty");
        Some((engine, store))
    }
}
