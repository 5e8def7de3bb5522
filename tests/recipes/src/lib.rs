//! The recipes in the documentation of `bondify-redis` and `bondify-sqlx`, compiled. The tests run
//! them on the engines.

/// The store beside a bb8 pool.
#[path = "../../../bondify-redis/recipes/bb8.rs"]
pub mod bb8;
/// The store beside a deadpool.
#[path = "../../../bondify-redis/recipes/deadpool.rs"]
pub mod deadpool;
/// The inbox in Diesel's transactions.
#[path = "../../../bondify-sqlx/recipes/diesel.rs"]
pub mod diesel;
/// The inbox in diesel-async's transactions.
#[path = "../../../bondify-sqlx/recipes/diesel_async.rs"]
pub mod diesel_async;
/// The inbox in SeaORM's transactions.
#[path = "../../../bondify-sqlx/recipes/sea_orm.rs"]
pub mod sea_orm;
