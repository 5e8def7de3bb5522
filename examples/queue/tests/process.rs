//! The example as a process that is killed: no event is lost, and each takes effect once. A job
//! that fails is listed, and can be retried.

use std::{net::SocketAddr, process::Command, sync::Arc, time::Duration};

use bondify_axum::Secret;
use bondify_sqlx::sqlx::{self, AssertSqlSafe, PgPool, SqlitePool};
use bondify_testkit::{Connection, Payload, WebhookRequest, engine_url, within_a_minute};
use example_support::process::{
    Example, a_signal_ends_it_with_success as a_signal_ends_it, new_session, start_fails_naming,
};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::sleep};

const BINARY: &str = env!("CARGO_BIN_EXE_example-queue");
const EVENTS: usize = 100;

macro_rules! on_both_engines {
    ($case:ident) => {
        mod $case {
            #[tokio::test(flavor = "multi_thread")]
            async fn on_sqlite() {
                super::$case(super::Database::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgres() {
                let Some(database) = super::Database::postgres().await else { return };
                super::$case(database).await;
            }
        }
    };
}

on_both_engines!(killed_twice_it_loses_no_event_and_none_takes_effect_again);
on_both_engines!(a_job_that_fails_is_listed_and_can_be_retried);
on_both_engines!(a_job_that_cannot_be_decoded_is_listed_and_blocks_no_other);
on_both_engines!(a_job_of_an_earlier_version_is_handled);
on_both_engines!(jobs_that_wait_for_their_next_attempt_occupy_no_worker);
on_both_engines!(sigterm_ends_it_with_success_while_a_job_fails);

async fn killed_twice_it_loses_no_event_and_none_takes_effect_again(database: Database) {
    within_a_minute(async {
        let requests: Vec<_> = (0..EVENTS).map(|_| Arc::new(request(&new_session()))).collect();
        let mut stored = vec![false; EVENTS];
        // Kills the process after its first effects, while many jobs wait or run, and once more after the
        // next. Before each kill new events arrive, and others are left for the end.
        for (events, effects) in [(50, 1), (75, 5)] {
            let example = Example::start(BINARY, &[("DATABASE_URL", &database.url)]);
            let mut deliveries = deliver(&requests[..events], &stored, example.address());
            let first = deliveries.join_next().await.expect("many are sent");
            let (event, accepted) = first.expect("it does not panic");
            assert!(accepted, "the process runs");
            stored[event] = true;
            // Jobs that the killed process handled are "handled before".
            for _ in 0..effects {
                while !example.line().starts_with("handled auth.confirmed") {}
            }
            drop(example);
            while let Some(delivery) = deliveries.join_next().await {
                let (event, accepted) = delivery.expect("it does not panic");
                stored[event] |= accepted;
            }
        }
        assert!(database.count("SELECT count(*) FROM logins").await < EVENTS as i64);

        let example = Example::start(BINARY, &[("DATABASE_URL", &database.url)]);
        deliver(&requests, &stored, example.address()).join_all().await;
        while database.open_jobs().await > 0 {
            sleep(Duration::from_millis(20)).await;
        }
        let events = EVENTS as i64;
        assert_eq!(database.count("SELECT count(DISTINCT telegram_id) FROM logins").await, events);
        assert_eq!(database.count("SELECT count(*) FROM logins").await, events);
        assert_eq!(database.jobs().await, events);
    })
    .await;
}

async fn a_job_that_fails_is_listed_and_can_be_retried(database: Database) {
    within_a_minute(async {
        let example = Example::start(BINARY, &[("DATABASE_URL", &database.url)]);
        database.execute("ALTER TABLE logins RENAME COLUMN name TO other").await;
        let request = request(&new_session());
        for _ in 0..2 {
            assert!(is_stored(&request, example.address()).await);
        }
        database.have_failed(1, 1).await;
        assert_eq!(database.run("dead"), "");
        database.fast_forward(45, 1).await; // its pauses take hours
        let list = database.run("dead");
        assert_eq!(list.lines().count(), 1, "{list}");
        assert!(list.contains(": error returned from database: "), "{list}");
        assert!(!list.contains("Ada"), "{list}");
        assert_eq!(database.attempts().await, 46);

        assert_eq!(database.run("retry"), "1 jobs to retry\n");
        database.have_failed(1, 1).await;
        assert_eq!(database.run("dead"), "", "it has all its attempts again");
        database.execute("ALTER TABLE logins RENAME COLUMN other TO name").await;
        assert!(example.line().starts_with("handled auth.confirmed"));
        assert_eq!(database.run("dead"), "");
    })
    .await;
}

async fn a_job_that_cannot_be_decoded_is_listed_and_blocks_no_other(database: Database) {
    within_a_minute(async {
        drop(Example::start(BINARY, &[("DATABASE_URL", &database.url)]));
        let jobs: [&[u8]; 6] =
            [b"", b"\xff\0", b"{", b"[]", b"\"{\"", br#"{"event":"auth.confirmed"}"#];
        for job in [jobs, jobs].concat() {
            database.insert(job).await;
        }
        let example = Example::start(BINARY, &[("DATABASE_URL", &database.url)]);
        assert!(is_stored(&request(&new_session()), example.address()).await);
        assert!(example.line().starts_with("handled auth.confirmed"));
        let list = loop {
            let list = database.run("dead");
            if list.lines().count() == 12 {
                break list;
            }
        };
        assert!(list.lines().all(|line| line.contains(": AbortError: ")), "{list}");
    })
    .await;
}

async fn a_job_of_an_earlier_version_is_handled(database: Database) {
    within_a_minute(async {
        drop(Example::start(BINARY, &[("DATABASE_URL", &database.url)]));
        let event = Payload::confirmed().session_token(new_session()).to_body();
        let event = String::from_utf8(event.to_vec()).expect("it is JSON");
        database.insert(format!("{event:?}").as_bytes()).await;
        let example = Example::start(BINARY, &[("DATABASE_URL", &database.url)]);
        assert!(example.line().starts_with("handled auth.confirmed"));
        assert_eq!(database.run("dead"), "");
    })
    .await;
}

async fn jobs_that_wait_for_their_next_attempt_occupy_no_worker(database: Database) {
    const FAILED: usize = 10;

    within_a_minute(async {
        let example = Example::start(BINARY, &[("DATABASE_URL", &database.url)]);
        database.execute("ALTER TABLE logins RENAME COLUMN name TO other").await;
        for _ in 0..FAILED {
            assert!(is_stored(&request(&new_session()), example.address()).await);
        }
        database.have_failed(1, FAILED).await;
        database.fast_forward(20, FAILED).await; // they wait for ten minutes
        database.execute("ALTER TABLE logins RENAME COLUMN other TO name").await;
        assert!(is_stored(&request(&new_session()), example.address()).await);
        assert!(example.line().starts_with("handled auth.confirmed"));
        assert_eq!(database.count("SELECT count(*) FROM logins").await, 1);
        assert_eq!(database.run("dead"), "");
    })
    .await;
}

async fn sigterm_ends_it_with_success_while_a_job_fails(database: Database) {
    within_a_minute(async {
        let example = Example::start(BINARY, &[("DATABASE_URL", &database.url)]);
        database.execute("ALTER TABLE logins RENAME COLUMN name TO other").await;
        assert!(is_stored(&request(&new_session()), example.address()).await);
        while database.running_jobs().await == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        tokio::task::block_in_place(|| example.is_ended_by("TERM"));
    })
    .await;
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let path = "/nonexistent/queue.db";
    start_fails_naming(BINARY, &[("DATABASE_URL", &format!("sqlite:{path}"))], path);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_with_success() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let url = format!("sqlite:{}", folder.path().join("queue.db").display());
    a_signal_ends_it(BINARY, &[("DATABASE_URL", &url)]);
}

/// Events of different users.
fn request(session: &str) -> WebhookRequest {
    let secret = Secret::new("whsec_test").expect("it is one");
    let payload = Payload::confirmed().session_token(session).telegram_name("Ada");
    payload.telegram_id(fastrand::u64(1..1 << 52).to_string()).signed_with(&secret)
}

/// Delivers each event twice, and returns for each delivery whether it was accepted. Retries those that
/// were not accepted, like Bondify, and a few others.
fn deliver(
    requests: &[Arc<WebhookRequest>],
    stored: &[bool],
    server: SocketAddr,
) -> JoinSet<(usize, bool)> {
    let mut deliveries = JoinSet::new();
    for event in (0..requests.len()).filter(|&event| !stored[event] || event % 5 == 0) {
        for _ in 0..2 {
            let request = requests[event].clone();
            deliveries.spawn(async move { (event, is_stored(&request, server).await) });
        }
    }
    deliveries
}

async fn is_stored(request: &WebhookRequest, server: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(server).await else { return false };
    let response = connection.post("/webhooks/bondify", request).await;
    response.is_ok_and(|response| response.status == 202)
}

/// A new database.
struct Database {
    url: String,
    engine: Engine,
}

enum Engine {
    Sqlite { pool: SqlitePool, _folder: TempDir },
    Postgres(PgPool),
}

impl Database {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("queue.db");
        let options = bondify_sqlx::SqliteStore::options(&path);
        let pool = SqlitePool::connect_with(options).await.expect("a file");
        let url = format!("sqlite:{}", path.display());
        Self { url, engine: Engine::Sqlite { pool, _folder: folder } }
    }

    async fn postgres() -> Option<Self> {
        let url = engine_url("BONDIFY_TEST_POSTGRES_URL")?;
        let (server, _) = url.rsplit_once('/').expect("the URL names a database");
        let name = format!("queue_{:016x}", fastrand::u64(..));
        let pool = PgPool::connect(&url).await.expect("it is up");
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&pool).await.expect("the name is new");
        let url = format!("{server}/{name}");
        let pool = PgPool::connect(&url).await.expect("it was created");
        Some(Self { url, engine: Engine::Postgres(pool) })
    }

    /// The output of the example with that argument.
    fn run(&self, argument: &str) -> String {
        let mut command = Command::new(BINARY);
        let output = command.arg(argument).env("DATABASE_URL", &self.url).output();
        let output = output.expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it prints text")
    }

    /// `JOBS` stands for the table of jobs.
    async fn count(&self, query: &str) -> i64 {
        let query = self.query(query);
        let count = match &self.engine {
            Engine::Sqlite { pool, .. } => sqlx::query_scalar(query).fetch_one(pool).await,
            Engine::Postgres(pool) => sqlx::query_scalar(query).fetch_one(pool).await,
        };
        count.expect("a query that counts")
    }

    fn query(&self, query: &str) -> AssertSqlSafe<String> {
        let table = match self.engine {
            Engine::Sqlite { .. } => "Jobs",
            Engine::Postgres(_) => "apalis.jobs",
        };
        AssertSqlSafe(query.replace("JOBS", table))
    }

    /// Whether that many jobs have failed so often.
    async fn failed(&self, attempts: usize, jobs: usize) -> bool {
        let failed = "SELECT count(*) FROM JOBS WHERE status = 'Failed' AND attempts >= ";
        self.count(&format!("{failed}{attempts}")).await >= jobs as i64
    }

    async fn have_failed(&self, attempts: usize, jobs: usize) {
        while !self.failed(attempts, jobs).await {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes the jobs due as if they had failed so often, and waits until they have failed once more.
    async fn fast_forward(&self, attempts: usize, jobs: usize) {
        let now = match self.engine {
            Engine::Sqlite { .. } => "unixepoch()",
            Engine::Postgres(_) => "now()",
        };
        let due = format!(
            "UPDATE JOBS SET attempts = {attempts}, run_at = {now}
                WHERE status = 'Failed' AND attempts < {attempts}"
        );
        while !self.failed(attempts + 1, jobs).await {
            self.execute(&due).await;
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stores a job as another version of the example may have done.
    async fn insert(&self, job: &[u8]) {
        let id = format!("01M8EJF79X{:016}", fastrand::u64(..10_000_000_000_000_000));
        let insert = self.query(
            "INSERT INTO JOBS (job, id, job_type, status, attempts, max_attempts)
                VALUES ($1, $2, 'bondify', 'Pending', 0, 5)",
        );
        let done = match &self.engine {
            Engine::Sqlite { pool, .. } => {
                sqlx::query(insert).bind(job).bind(id).execute(pool).await.map(drop)
            }
            Engine::Postgres(pool) => {
                sqlx::query(insert).bind(job).bind(id).execute(pool).await.map(drop)
            }
        };
        done.expect("the table has these columns");
    }

    async fn execute(&self, statement: &str) {
        let statement = self.query(statement);
        let done = match &self.engine {
            Engine::Sqlite { pool, .. } => sqlx::query(statement).execute(pool).await.map(drop),
            Engine::Postgres(pool) => sqlx::query(statement).execute(pool).await.map(drop),
        };
        done.expect("a valid statement");
    }

    async fn jobs(&self) -> i64 {
        self.count("SELECT count(*) FROM JOBS").await
    }

    async fn attempts(&self) -> i64 {
        self.count("SELECT sum(attempts) FROM JOBS").await
    }

    async fn open_jobs(&self) -> i64 {
        self.count("SELECT count(*) FROM JOBS WHERE status <> 'Done'").await
    }

    async fn running_jobs(&self) -> i64 {
        self.count("SELECT count(*) FROM JOBS WHERE lock_by IS NOT NULL").await
    }
}
