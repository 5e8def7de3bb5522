use bondify_core::Event;
use bondify_sqlx::Recorded;
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr, Statement,
    TransactionTrait,
};

/// Handles an event, so that it takes effect once.
pub async fn on_event(database: &DatabaseConnection, event: &Event) -> Result<(), DbErr> {
    let transaction = database.begin().await?;
    if record(&transaction, event).await? == Recorded::Duplicate {
        return Ok(()); // done before: answer 2xx
    }
    if let Event::Confirmed(login) = event {
        // Or with your own entities, on `&transaction`.
        let insert = "INSERT INTO users (telegram_id) VALUES ($1) ON CONFLICT DO NOTHING";
        let id = login.user().id().as_str().into();
        let insert = Statement::from_sql_and_values(DatabaseBackend::Postgres, insert, [id]);
        transaction.execute_raw(insert).await?;
    }
    transaction.commit().await
}

/// Records an event in a transaction of SeaORM, as `PostgresInbox::record` does in a transaction of
/// sqlx.
pub async fn record(transaction: &DatabaseTransaction, event: &Event) -> Result<Recorded, DbErr> {
    let key = event.key().as_bytes().to_vec().into();
    let record = Statement::from_sql_and_values(DatabaseBackend::Postgres, RECORD, [key]);
    let rows = transaction.execute_raw(record).await?.rows_affected();
    Ok(if rows == 0 { Recorded::Duplicate } else { Recorded::New })
}

const RECORD: &str = "INSERT INTO bondify_events AS known (key, expires)
    VALUES ($1, clock_timestamp() + INTERVAL '24 hours 5 minutes')
    ON CONFLICT (key) DO UPDATE SET token = NULL, expires = excluded.expires
    WHERE known.token IS NOT NULL";
