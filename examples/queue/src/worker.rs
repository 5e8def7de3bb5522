use std::time::Duration;

use apalis::{
    layers::retry::{
        HasherRng, RetryPolicy,
        backoff::{ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff},
    },
    prelude::{
        AbortError, BackendExt, BoxDynError, Data, Event as Happening, EventListenerExt,
        WorkerBuilder, WorkerBuilderExt, WorkerContext, WorkerError,
    },
};
use bondify_axum::{Event, Shutdown};
use bondify_sqlx::Recorded;
use tokio::time::{interval, sleep};

use crate::database::{self, ATTEMPTS, Database, Job, PURGE_INTERVAL};

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
            .backend($queue.poll_with_interval(POLL))
            .data($database.clone())
            .concurrency(JOBS)
            .retry(RetryPolicy::retries(ATTEMPTS - 1).with_backoff(backoff()?))
            .on_event(report)
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

/// The delays between the attempts of a job, which about double.
fn backoff() -> Result<ExponentialBackoff, WorkerError> {
    let (first, longest) = (Duration::from_millis(250), Duration::from_secs(60));
    let maker = ExponentialBackoffMaker::new(first, longest, 0.5, HasherRng::default());
    let mut maker = maker.map_err(|error| WorkerError::BackendError(error.into()))?;
    Ok(maker.make_backoff())
}

fn report(worker: &WorkerContext, happening: &Happening) {
    // A job that fails during a shutdown runs again after the next start.
    if let Happening::Error(error) = happening
        && !worker.is_shutting_down()
    {
        eprintln!("error: a job failed for good: {error}");
    }
}

/// Runs the job in a separate task, so that a panic is a failed attempt.
async fn job(job: Job, database: Data<Database>) -> Result<(), BoxDynError> {
    tokio::spawn(async move { handle(&job, &database).await }).await?
}

async fn handle(job: &str, database: &Database) -> Result<(), BoxDynError> {
    // The event is trusted: only the webhook's handler can store events.
    let event = Event::from_trusted(job.to_owned()).map_err(AbortError::new)?;
    match database.handle(&event).await? {
        Recorded::New => println!("handled {event}"),
        Recorded::Duplicate => println!("handled before: {event}"),
    }
    Ok(())
}
