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
    if let Event::Confirmed(confirmed) = event {
        // Or with your own entities, on `&transaction`.
        let insert = "INSERT INTO users (telegram_id) VALUES ($1) ON CONFLICT DO NOTHING";
        let id = confirmed.user().id().as_str().into();
        let insert = Statement::from_sql_and_values(DatabaseBackend::Postgres, insert, [id]);
        transaction.execute_raw(insert).await?;
    }
    transaction.commit().await
}

/// Records an event in a transaction of SeaORM, as `PostgresInbox::record` does in a transaction of
/// sqlx.
pub async fn record(transaction: &DatabaseTransaction, event: &Event) -> Result<Recorded, DbErr> {
    let (key, ours) = (event.key().as_bytes().to_vec(), fastrand::i64(..0));
    let values = [key.into(), ours.into()];
    let record = Statement::from_sql_and_values(DatabaseBackend::Postgres, RECORD, values);
    let row = transaction.query_one_raw(record).await?.ok_or(DbErr::RecordNotInserted)?;
    let token: Option<i64> = row.try_get("", "token")?;
    Ok(if token == Some(ours) { Recorded::New } else { Recorded::Duplicate })
}

/// Returns the new token, which is negative, or the one that was there if it is not a lease.
const RECORD: &str = "INSERT INTO bondify_events AS known (key, token, expires)
    VALUES ($1, $2, clock_timestamp() + INTERVAL '24 hours 5 minutes')
    ON CONFLICT (key) DO UPDATE SET
        token = CASE WHEN known.token > 0 THEN excluded.token ELSE known.token END,
        expires = CASE WHEN known.token > 0 THEN excluded.expires ELSE known.expires END
    RETURNING token";
