use bondify_core::Event;
use bondify_sqlx::Recorded;
use diesel::{
    QueryResult, sql_query,
    sql_types::{Binary, Text},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

/// Handles an event, so that it takes effect once.
pub async fn on_event(connection: &mut AsyncPgConnection, event: &Event) -> QueryResult<()> {
    connection
        .transaction(async |connection| {
            if record(connection, event).await? == Recorded::Duplicate {
                return Ok(()); // done before: answer 2xx
            }
            if let Event::Confirmed(login) = event {
                sql_query("INSERT INTO users (telegram_id) VALUES ($1) ON CONFLICT DO NOTHING")
                    .bind::<Text, _>(login.user().id().as_str())
                    .execute(connection)
                    .await?;
            }
            Ok(())
        })
        .await
}

/// Records an event in the transaction, as `PostgresInbox::record` does in a transaction of sqlx.
pub async fn record(connection: &mut AsyncPgConnection, event: &Event) -> QueryResult<Recorded> {
    let key = event.key();
    let record = sql_query(RECORD).bind::<Binary, _>(&key.as_bytes()[..]);
    let rows = record.execute(connection).await?;
    Ok(if rows == 0 { Recorded::Duplicate } else { Recorded::New })
}

const RECORD: &str = "INSERT INTO bondify_events AS known (key, expires)
    VALUES ($1, clock_timestamp() + INTERVAL '24 hours 5 minutes')
    ON CONFLICT (key) DO UPDATE SET token = NULL, expires = excluded.expires
    WHERE known.token IS NOT NULL";
