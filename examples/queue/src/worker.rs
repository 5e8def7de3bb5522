use std::time::Duration;

use apalis::prelude::{
    AbortError, Attempt, BackendExt, BoxDynError, Data, TaskId, WorkerBuilder, WorkerBuilderExt,
    WorkerError,
};
use bondify_axum::{Event, Shutdown, bondify_core::ParseError};
use bondify_sqlx::Recorded;
use tokio::time::{interval, sleep};

use crate::database::{self, ATTEMPTS, Database, Job, PURGE_INTERVAL, Raw};

/// The number of jobs that run at a time.
const JOBS: usize = 4;

/// The interval at which an empty queue is polled.
const POLL: Duration = Duration::from_millis(100);

/// The pause before a worker that lost its database starts again.
const PAUSE: Duration = Duration::from_secs(1);

/// Handles jobs until a shutdown is requested and the running jobs are done.
pub(crate) async fn run(database: Database, shutdown: Shutdown) {
    let purge = tokio::spawn(purge(database.clone()));
    while let Err(error) = work(&database, &shutdown).await {
        eprintln!("error: the worker starts again in {PAUSE:?}: {error}");
        sleep(PAUSE).await;
    }
    purge.abort();
}

async fn purge(database: Database) {
    let mut ticks = interval(PURGE_INTERVAL);
    loop {
        ticks.tick().await;
        if let Err(error) = database.purge().await {
            eprintln!("error: cannot delete finished jobs: {error}");
        }
    }
}

/// Runs the same code on both engines, whose backends have different types.
macro_rules! worker {
    ($database:ident, $queue:expr, $stop:ident) => {{
        // A unique name: two workers of one name are an error.
        WorkerBuilder::new(format!("worker-{:016x}", fastrand::u64(..)))
            .backend($queue.with_codec(Raw).poll_with_interval(POLL))
            .data($database.clone())
            .concurrency(JOBS)
            .build(job)
            .run_until($stop)
            .await
    }};
}

async fn work(database: &Database, shutdown: &Shutdown) -> Result<(), WorkerError> {
    let requested = shutdown.requested();
    let stop = async move {
        requested.await;
        Ok::<(), WorkerError>(())
    };
    match database {
        Database::Sqlite(pool, _) => worker!(database, database::sqlite(pool), stop),
        Database::Postgres(pool, _) => worker!(database, database::postgres(pool), stop),
    }
}

/// The pause after that many failed attempts: a second, doubled each time up to ten minutes.
fn pause(attempts: usize) -> Duration {
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1) as u32);
    Duration::from_secs(doubled.into()).min(Duration::from_secs(10 * 60))
}

/// Runs the job in a separate task, so that a panic is a failed attempt.
async fn job(
    job: Job,
    id: TaskId,
    attempt: Attempt,
    database: Data<Database>,
) -> Result<(), BoxDynError> {
    let own = database.clone();
    let handled = tokio::spawn(async move { handle(job, &own).await }).await;
    let Err(error) = handled.map_err(BoxDynError::from).flatten() else { return Ok(()) };
    if error.is::<AbortError>() || attempt.current() >= ATTEMPTS {
        eprintln!("error: the job {id} is dead: {error}");
    } else {
        database.delay(&id.to_string(), pause(attempt.current())).await?;
    }
    Err(error)
}

async fn handle(job: Job, database: &Database) -> Result<(), BoxDynError> {
    let event = decode(job).map_err(AbortError::new)?;
    match database.handle(&event).await? {
        Recorded::New => println!("handled {event}"),
        Recorded::Duplicate => println!("handled before: {event}"),
    }
    Ok(())
}

/// Reads a job. The event is trusted: only the webhook's handler can store events.
fn decode(job: Job) -> Result<Event, ParseError> {
    // The jobs of an earlier version of this example are JSON strings.
    match serde_json::from_slice::<String>(&job) {
        Ok(earlier) => Event::from_trusted(earlier),
        Err(_) => Event::from_trusted(job),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_may_be_unavailable_for_six_hours() {
        let pauses = (1..ATTEMPTS).map(pause);
        assert_eq!(pauses.clone().next(), Some(Duration::from_secs(1)));
        assert_eq!(pauses.clone().max(), Some(Duration::from_secs(10 * 60)));
        assert!(pauses.sum::<Duration>() >= Duration::from_secs(6 * 60 * 60));
    }
}
