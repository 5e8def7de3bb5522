//! The receiver that the tests start: `receiver NUMBER MODE STORE LEDGER LEASE`, the lease in
//! milliseconds. It prints the address that it listens on, and exits when its standard input ends.
//!
//! With the further arguments `catch-up URL TOKEN AGE` it catches up every two seconds by the developer
//! API at the URL with logins of that age in seconds, and handles the logins of `POST /poll`, whose body is a session token, and of
//! `POST /proof`, whose body is a proof. With `poll URL TOKEN…` it polls these sessions there and exits; with
//! `race URL COUNT` it generates so many sessions itself.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{
    env,
    error::Error,
    io::{self, Read},
    process::exit,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use bondify_axum::{
    Bondify, BondifyEvent, BondifyExt, DedupeStore, Event, HandleError, Handled, Secret,
};
use bondify_client::{CatchUp, Client, ClientBuilder, Session, SessionStatus, Sessions};
use bondify_redis::{RedisStore, redis};
use bondify_sqlx::{
    MySqlInbox, MySqlStore, PostgresInbox, PostgresStore, Recorded, SqliteInbox, SqliteStore,
    sqlx::{self, MySqlPool, PgPool, SqlitePool, pool::PoolOptions},
};
use crash_tests::{Entry, Ledger, Mode, PROJECT, SECRET, Ticket};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

/// The time that a receiver waits for a server that is restarted.
const STORE_TIMEOUT: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    thread::spawn(|| {
        let _parent_is_gone = io::stdin().read(&mut [0]);
        exit(0)
    });
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [number, mode, store, ledger, lease, others @ ..] = &arguments[..] else {
        return Err("see above".into());
    };
    let process = number.parse()?;
    let lease = Duration::from_millis(lease.parse()?);
    let builder = Bondify::builder(Secret::new(SECRET)?).lease(lease);
    let (bondify, shop) = match mode.parse()? {
        Mode::Claims => {
            let bondify = builder.store(dedupe_store(store).await?).build()?;
            (bondify, Shop::Claims { process, ledger: Ledger::open(ledger)? })
        }
        Mode::Inbox => {
            let database = Database::connect(store).await?;
            (builder.verify_only().build()?, Shop::Inbox { process, database })
        }
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    let app = Router::new().route("/", bondify.post(on_event)).with_state(shop.clone());
    let queue = post(on_job).with_state((bondify.clone(), shop.clone()));
    let mut app = app.route("/queue", queue);
    match others {
        [what, url, token, age] if what == "catch-up" => {
            let developer = client(url)?.developer(token)?;
            app = app.merge(other_ways(client(url)?.sessions(PROJECT), &bondify, &shop));
            let shop = shop.clone();
            CatchUp::new(&developer, &bondify, PROJECT)
                .min_age(Duration::from_secs(age.parse()?))
                .every(Duration::from_secs(2))
                .spawn(async move |event: Event| shop.handle(&event).await);
        }
        [what, url, tokens @ ..] if what == "poll" => {
            let given = tokens.iter().map(|token| Some(resumed(token))).collect();
            return poll(&client(url)?, &bondify, &shop, given).await;
        }
        [what, url, count] if what == "race" => {
            return poll(&client(url)?, &bondify, &shop, vec![None; count.parse()?]).await;
        }
        _ => {}
    }
    Ok(axum::serve(listener, app).await?)
}

fn client(url: &str) -> Result<Client, bondify_client::Error> {
    Client::builder().base_url(url).poll_interval(ClientBuilder::MIN_POLL_INTERVAL).build()
}

/// The number of sessions that are polled at a time.
const POLLS: usize = 8;

/// Polls sessions that are confirmed at once, and handles each login. For `None` it generates one.
async fn poll(
    client: &Client,
    bondify: &Bondify,
    shop: &Shop,
    given: Vec<Option<Session>>,
) -> Result<(), Box<dyn Error>> {
    let sessions = client.sessions(PROJECT);
    let mut polls = JoinSet::new();
    for (number, given) in given.into_iter().enumerate() {
        if number >= POLLS
            && let Some(poll) = polls.join_next().await
        {
            poll??;
        }
        let (sessions, bondify, shop) = (sessions.clone(), bondify.clone(), shop.clone());
        polls.spawn(async move {
            let session = match given {
                Some(session) => session,
                None => {
                    let session = sessions.generate().await.map_err(|error| error.to_string())?;
                    // So that the poll comes between the user's confirmation and shortly after its webhook.
                    sleep(Duration::from_micros(fastrand::u64(..6000))).await;
                    session
                }
            };
            let status = sessions.wait(&session).await.map_err(|error| error.to_string())?;
            let SessionStatus::Confirmed(login) = status else {
                return Err(format!("a session is {}", status.name()));
            };
            handle(&bondify, &shop, &login.event()).await
        });
    }
    while let Some(poll) = polls.join_next().await {
        poll??;
    }
    // Completions that a busy store has not taken yet.
    Ok(bondify.drain(Duration::from_secs(60)).await?)
}

/// Handles an event, again when the store is busy for longer than its time-out.
async fn handle(bondify: &Bondify, shop: &Shop, event: &Event) -> Result<(), String> {
    loop {
        let shop = shop.clone();
        let handler = async move |event| shop.handle(&event).await;
        match bondify.handle(event.clone(), handler).await {
            Ok(_) => return Ok(()),
            Err(HandleError::InFlight | HandleError::StoreUnavailable(_)) => {}
            Err(error) => return Err(error.to_string()),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// A session that somebody else has generated.
fn resumed(token: &str) -> Session {
    Session::resume(token, "", SystemTime::now() + Session::DEFAULT_LIFETIME)
}

/// The routes for logins that do not arrive by webhook. They answer 201 if a login takes effect now, 200
/// if it did before, and 503 if it has to come again.
fn other_ways(sessions: Sessions, bondify: &Bondify, shop: &Shop) -> Router {
    let (proofs, project) = (bondify.proofs().project(PROJECT), (bondify.clone(), shop.clone()));
    let on_poll =
        async move |State((bondify, shop)): State<(Bondify, Shop)>, token: String| match sessions
            .wait(&resumed(&token))
            .await
        {
            Ok(SessionStatus::Confirmed(login)) => {
                handle_once(&bondify, &shop, login.event()).await
            }
            _ => StatusCode::BAD_GATEWAY,
        };
    let on_proof =
        async move |State((bondify, shop)): State<(Bondify, Shop)>, proof: String| match proofs
            .verify(&proof)
        {
            Ok(proof) => handle_once(&bondify, &shop, Event::from(&proof)).await,
            Err(_) => StatusCode::UNAUTHORIZED,
        };
    let routes = Router::new().route("/poll", post(on_poll)).route("/proof", post(on_proof));
    routes.with_state(project)
}

async fn handle_once(bondify: &Bondify, shop: &Shop, event: Event) -> StatusCode {
    let shop = shop.clone();
    match bondify.handle(event, async move |event| shop.handle(&event).await).await {
        Ok(Handled::Now(_)) => StatusCode::CREATED,
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn dedupe_store(url: &str) -> Result<Arc<dyn DedupeStore>, Box<dyn Error>> {
    if url.starts_with("redis") {
        return Ok(Arc::new(RedisStore::open(redis::Client::open(url)?)));
    }
    Ok(match Database::connect(url).await? {
        Database::Sqlite(pool, _) => Arc::new(SqliteStore::new(pool)),
        Database::Postgres(pool, _) => Arc::new(PostgresStore::new(pool).timeout(STORE_TIMEOUT)),
        Database::MySql(pool, _) => Arc::new(MySqlStore::new(pool).timeout(STORE_TIMEOUT)),
    })
}

async fn on_event(State(shop): State<Shop>, event: BondifyEvent) -> StatusCode {
    match shop.handle(&event).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Handles an event from a queue, whose stored events are trusted.
async fn on_job(State((bondify, shop)): State<(Bondify, Shop)>, job: Bytes) -> StatusCode {
    let Ok(event) = Event::from_trusted(job) else { return StatusCode::BAD_REQUEST };
    match bondify.handle(event, async move |event| shop.handle(&event).await).await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The application, in which events take effect.
#[derive(Clone)]
enum Shop {
    /// An effect is a line of the ledger.
    Claims { process: usize, ledger: Ledger },
    /// An effect is a row in the inbox's database.
    Inbox { process: usize, database: Database },
}

impl Shop {
    async fn handle(&self, event: &Event) -> Result<(), String> {
        let Ticket { event: number, pause } = ticket(event).ok_or("no event of these tests")?;
        match self {
            Self::Claims { process, ledger } => {
                sleep(pause).await;
                ledger.note(Entry::Effect { event: number, process: *process });
            }
            Self::Inbox { process, database } => {
                let handled = database.handle(event, *process).await;
                handled.map_err(|error| error.to_string())?;
            }
        }
        sleep(pause).await;
        Ok(())
    }
}

/// The ticket in the session's token, or in the user's id if Bondify made the token.
fn ticket(event: &Event) -> Option<Ticket> {
    let chosen = event.session_token()?.parse().ok();
    chosen.or_else(|| match event {
        Event::Confirmed(login) => Ticket::of_user(login.user().id().as_str()),
        _ => None,
    })
}

/// A pool of one of the engines, and its inbox.
#[derive(Clone)]
enum Database {
    Sqlite(SqlitePool, SqliteInbox),
    Postgres(PgPool, PostgresInbox),
    MySql(MySqlPool, MySqlInbox),
}

/// Handles an event on any engine: each has its own types of pools and transactions.
macro_rules! handle {
    ($pool:ident, $inbox:ident, $event:ident, $process:ident, $insert:literal) => {{
        let Some(ticket) = ticket($event) else { return Ok(()) };
        let mut transaction = $pool.begin().await?;
        if $inbox.record(&mut transaction, $event).await? == Recorded::Duplicate {
            return Ok(());
        }
        // Short, as SQLite's other writers wait.
        sleep(ticket.pause / 10).await;
        sqlx::query($insert)
            .bind(ticket.event as i64)
            .bind($process as i64)
            .persistent(false) // for a pooler
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }};
}

impl Database {
    async fn connect(url: &str) -> sqlx::Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let pool = SqlitePool::connect_with(SqliteStore::options(path)).await?;
            let inbox = SqliteInbox::new(pool.clone());
            inbox.migrate().await?;
            return Ok(Self::Sqlite(pool, inbox));
        }
        // Connections are tested before use, which is the default: a connection broken by a restart
        // could cost a delivery its last attempt.
        if url.starts_with("mysql") {
            let pool = PoolOptions::new().acquire_timeout(STORE_TIMEOUT).connect(url).await?;
            let inbox = MySqlInbox::new(pool.clone());
            inbox.migrate().await?;
            return Ok(Self::MySql(pool, inbox));
        }
        let pool = PoolOptions::new().acquire_timeout(STORE_TIMEOUT).connect(url).await?;
        let inbox = PostgresInbox::new(pool.clone());
        inbox.migrate().await?;
        Ok(Self::Postgres(pool, inbox))
    }

    async fn handle(&self, event: &Event, process: usize) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(pool, inbox) => {
                handle!(pool, inbox, event, process, "INSERT INTO effects VALUES ($1, $2)")
            }
            Self::Postgres(pool, inbox) => {
                handle!(pool, inbox, event, process, "INSERT INTO effects VALUES ($1, $2)")
            }
            Self::MySql(pool, inbox) => {
                handle!(pool, inbox, event, process, "INSERT INTO effects VALUES (?, ?)")
            }
        }
    }
}
