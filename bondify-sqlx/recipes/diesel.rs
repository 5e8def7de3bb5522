use bondify_core::Event;
use bondify_sqlx::Recorded;
use diesel::{
    QueryResult, QueryableByName, RunQueryDsl, SqliteConnection, sql_query,
    sql_types::{BigInt, Binary, Nullable, Text},
};

/// Handles an event, so that it takes effect once.
pub fn on_event(connection: &mut SqliteConnection, event: &Event) -> QueryResult<()> {
    // Not `transaction`, which fails if another connection has written since it began.
    connection.immediate_transaction(|connection| {
        if record(connection, event)? == Recorded::Duplicate {
            return Ok(()); // done before: answer 2xx
        }
        if let Event::Confirmed(confirmed) = event {
            sql_query("INSERT INTO users (telegram_id) VALUES (?) ON CONFLICT DO NOTHING")
                .bind::<Text, _>(confirmed.user().id().as_str())
                .execute(connection)?;
        }
        Ok(())
    })
}

/// Records an event in the transaction, as `SqliteInbox::record` does in a transaction of sqlx.
pub fn record(connection: &mut SqliteConnection, event: &Event) -> QueryResult<Recorded> {
    let (key, ours) = (event.key(), fastrand::i64(..0));
    let record = sql_query(RECORD).bind::<Binary, _>(&key.as_bytes()[..]).bind::<BigInt, _>(ours);
    let Row { token } = record.get_result(connection)?;
    Ok(if token == Some(ours) { Recorded::New } else { Recorded::Duplicate })
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<BigInt>)]
    token: Option<i64>,
}

/// Returns the new token, which is negative, or the one that was there if it is not a lease. `expires` is
/// in milliseconds: 24 hours and 5 minutes from now.
const RECORD: &str = "INSERT INTO bondify_events AS known (key, token, expires)
    VALUES (?, ?, CAST(round(unixepoch('subsec') * 1000) AS INTEGER) + 86700000)
    ON CONFLICT (key) DO UPDATE SET
        token = iif(known.token > 0, excluded.token, known.token),
        expires = iif(known.token > 0, excluded.expires, known.expires)
    RETURNING token";
