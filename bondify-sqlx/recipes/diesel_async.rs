use bondify_core::Event;
use bondify_sqlx::Recorded;
use diesel::{
    QueryResult, QueryableByName, sql_query,
    sql_types::{BigInt, Binary, Nullable, Text},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

/// Handles an event, so that it takes effect once.
pub async fn on_event(connection: &mut AsyncPgConnection, event: &Event) -> QueryResult<()> {
    connection
        .transaction(async |connection| {
            if record(connection, event).await? == Recorded::Duplicate {
                return Ok(()); // done before: answer 2xx
            }
            if let Event::Confirmed(confirmed) = event {
                sql_query("INSERT INTO users (telegram_id) VALUES ($1) ON CONFLICT DO NOTHING")
                    .bind::<Text, _>(confirmed.user().id().as_str())
                    .execute(connection)
                    .await?;
            }
            Ok(())
        })
        .await
}

/// Records an event in the transaction, as `PostgresInbox::record` does in a transaction of sqlx.
pub async fn record(connection: &mut AsyncPgConnection, event: &Event) -> QueryResult<Recorded> {
    let (key, ours) = (event.key(), fastrand::i64(..0));
    let record = sql_query(RECORD).bind::<Binary, _>(&key.as_bytes()[..]).bind::<BigInt, _>(ours);
    let Row { token } = record.get_result(connection).await?;
    Ok(if token == Some(ours) { Recorded::New } else { Recorded::Duplicate })
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<BigInt>)]
    token: Option<i64>,
}

/// Returns the new token, which is negative, or the one that was there if it is not a lease.
const RECORD: &str = "INSERT INTO bondify_events AS known (key, token, expires)
    VALUES ($1, $2, clock_timestamp() + INTERVAL '24 hours 5 minutes')
    ON CONFLICT (key) DO UPDATE SET
        token = CASE WHEN known.token > 0 THEN excluded.token ELSE known.token END,
        expires = CASE WHEN known.token > 0 THEN excluded.expires ELSE known.expires END
    RETURNING token";
