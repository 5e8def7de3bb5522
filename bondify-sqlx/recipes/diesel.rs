use bondify_core::Event;
use bondify_sqlx::Recorded;
use diesel::{
    QueryResult, RunQueryDsl, SqliteConnection, sql_query,
    sql_types::{Binary, Text},
};

/// Handles an event, so that it takes effect once.
pub fn on_event(connection: &mut SqliteConnection, event: &Event) -> QueryResult<()> {
    // Not `transaction`, which fails if another connection has written since it began.
    connection.immediate_transaction(|connection| {
        if record(connection, event)? == Recorded::Duplicate {
            return Ok(()); // done before: answer 2xx
        }
        if let Event::Confirmed(login) = event {
            sql_query("INSERT INTO users (telegram_id) VALUES (?) ON CONFLICT DO NOTHING")
                .bind::<Text, _>(login.user().id().as_str())
                .execute(connection)?;
        }
        Ok(())
    })
}

/// Records an event in the transaction, as `SqliteInbox::record` does in a transaction of sqlx.
pub fn record(connection: &mut SqliteConnection, event: &Event) -> QueryResult<Recorded> {
    let key = event.key();
    let record = sql_query(RECORD).bind::<Binary, _>(&key.as_bytes()[..]);
    let rows = record.execute(connection)?;
    Ok(if rows == 0 { Recorded::Duplicate } else { Recorded::New })
}

/// `expires` is in milliseconds: 24 hours and 5 minutes from now.
const RECORD: &str = "INSERT INTO bondify_events AS known (key, expires)
    VALUES (?, CAST(round(unixepoch('subsec') * 1000) AS INTEGER) + 86700000)
    ON CONFLICT (key) DO UPDATE SET token = NULL, expires = excluded.expires
    WHERE known.token IS NOT NULL";
