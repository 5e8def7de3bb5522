//! Receivers that are killed, behind one store that is restarted, and a sender that retries
//! as Bondify does: what takes effect, and how often?
//!
//! - With claims, each event at least once, and twice only where a process died between the
//!   effect and its settlement.
//! - With the inbox, each event exactly once.
//!
//! The same for what Bondify gave up while all receivers were away, and for logins that arrive by
//! webhook and by polling.
//!
//! All that is random comes from the seed `BONDIFY_CRASH_SEED`, which is the same unless
//! set: what is delivered in which order, and who is killed after how much of it. Of
//! `BONDIFY_CRASH_EVENTS` events, which is for longer runs, the store is restarted after
//! each third.

mod effects;
mod fleet;
mod ledger;
mod logins;
mod plan;
mod sender;
mod store;
mod ticket;

use std::{
    env, fmt,
    io::{Write, stderr},
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use bondify_testkit::engines::{Engine, Stop};
use tokio::{
    sync::{Mutex, RwLock},
    task::block_in_place,
    time::timeout,
};

use crate::{
    fleet::Fleet,
    plan::{Disturbance, Plan},
    sender::Sender,
};
pub use crate::{
    ledger::{Entry, Ledger},
    logins::{PROJECT, run_outages, run_polls},
    store::Store,
    ticket::Ticket,
};

/// The secret that receivers and sender share.
pub const SECRET: &str = "whsec_test";

/// How long an event is blocked by a process that died, unless handlers are long. Twenty restarts of the store take
/// less on an idle machine, and one on a very busy one: a lease that the store is away for
/// is lost, and what it protects takes effect again.
const LEASE: Duration = Duration::from_secs(6);

/// When Bondify tries again.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is no third kind")]
pub enum Retries {
    /// When the lease of a process that died has run out.
    LongerThanTheLease,
    /// All before that, as with retries after 1, 2 and 4 s and a lease of 10 s: only one that
    /// waits for the lease can take the event over.
    ShorterThanTheLease,
}

impl Retries {
    fn pauses(self, lease: Duration) -> [Duration; 3] {
        let tenths = match self {
            Self::LongerThanTheLease => [11, 13, 15],
            Self::ShorterThanTheLease => [1, 2, 4],
        };
        tenths.map(|tenths| lease * tenths / 10)
    }
}

/// How receivers see to it that an event takes effect once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Mode {
    /// By claiming it in the store.
    Claims,
    /// By recording it in the transaction of its effect.
    Inbox,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let modes = [Self::Claims, Self::Inbox];
        let mode = modes.into_iter().find(|mode| mode.to_string() == name);
        mode.ok_or_else(|| format!("{name} is no mode"))
    }
}

/// Delivers events to receivers, which are the program `receiver`, and judges what took
/// effect. One at a time: each keeps the machine busy.
///
/// # Panics
///
/// If an event was lost, took effect too often, or if it takes an hour for each 10 000
/// events.
pub async fn run(receiver: &str, store: Store, mode: Mode, retries: Retries) {
    let plan = Plan::new(seed(), setting("BONDIFY_CRASH_EVENTS", 5000));
    let limit = Duration::from_millis(360 * plan.tickets.len() as u64);
    run_alone(limit, run_plan(plan, receiver, store, mode, retries)).await;
}

/// The same with handlers that outlast several leases, which have to be renewed, and without
/// restarts of the store, since the leases are short.
///
/// # Panics
///
/// If an event was lost, took effect too often, or if it takes five minutes.
pub async fn run_long_handlers(receiver: &str, store: Store) {
    let plan = Plan::of_long_handlers(seed());
    let run = run_plan(plan, receiver, store, Mode::Claims, Retries::LongerThanTheLease);
    run_alone(Duration::from_secs(300), run).await;
}

/// The same for a queue that delivers stored events to [`Bondify::handle`], again after a crash.
///
/// [`Bondify::handle`]: bondify_axum::Bondify::handle
///
/// # Panics
///
/// If an event was lost, took effect too often, or if it takes five minutes.
pub async fn run_queue(receiver: &str, store: Store, mode: Mode) {
    let plan = Plan::of_a_queue(seed());
    let run = run_plan(plan, receiver, store, mode, Retries::LongerThanTheLease);
    run_alone(Duration::from_secs(300), run).await;
}

async fn run_alone(limit: Duration, run: impl Future<Output = ()>) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

    let _turn = ONE_AT_A_TIME.lock().await;
    timeout(limit, run).await.expect("it ends");
}

fn seed() -> u64 {
    setting("BONDIFY_CRASH_SEED", 1)
}

const RECEIVERS: usize = 4;

async fn run_plan(plan: Plan, receiver: &str, mut store: Store, mode: Mode, retries: Retries) {
    let start = Instant::now();
    say(&format!("{store}, {mode}, {retries:?}: {plan}"));
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("ledger");
    let ledger = Ledger::open(&path).expect("there is room for a file");
    if mode == Mode::Inbox {
        effects::create_table(&store.url()).await;
    }

    let lease = plan.lease.as_millis().to_string();
    let arguments = vec![mode.to_string(), store.url(), path.display().to_string(), lease];
    let mut fleet = Fleet::start(receiver, arguments, ledger.clone(), RECEIVERS).await;
    let peace = Arc::new(RwLock::new(()));
    let sender = Sender::new(
        plan.path,
        &plan.tickets,
        retries.pauses(plan.lease),
        fleet.instances(),
        ledger.clone(),
        peace.clone(),
    );
    let sender = Arc::new(sender);
    let load = tokio::spawn(sender.clone().deliver_all(plan.deliveries));
    for (progress, disturbance) in plan.disturbances {
        sender.has_finished(progress).await;
        let _no_last_attempt_is_running = peace.write().await;
        match (disturbance, &mut store) {
            (Disturbance::Crash(receiver), _) => fleet.crash(receiver..=receiver).await,
            (Disturbance::Restart(stop), Store::Engine(engine) | Store::Pooled(engine, _)) => {
                restart(engine, stop, &ledger);
            }
            // There is no server: those who have it open are all there is.
            (Disturbance::Restart(_), Store::File(_)) => fleet.crash(0..=RECEIVERS - 1).await,
        }
    }
    load.await.expect("no delivery panics");
    drop(fleet);

    let mut faults = sender.lost();
    let mut entries = ledger::read(&path);
    if mode == Mode::Inbox {
        entries.extend(effects::read(&store.url()).await);
    }
    let verdict = ledger::judge(mode, plan.tickets.len(), &entries);
    faults.extend(verdict.faults);
    say(&format!(
        "{store}, {mode}, {retries:?}: {} attempts, {} processes killed, store away for {:.1?}, {} \
         effects cut off from their answer, {} doubles, {:.1?}",
        sender.attempts(),
        verdict.killed,
        verdict.away,
        verdict.cut_off,
        verdict.doubles,
        start.elapsed()
    ));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn restart(engine: &mut Engine, stop: Stop, ledger: &Ledger) {
    let start = Instant::now();
    block_in_place(|| {
        engine.stop(stop);
        engine.start_again();
    });
    ledger.note(Entry::Restart { millis: start.elapsed().as_millis() as u64 });
}

fn setting<T: FromStr>(variable: &str, default: T) -> T {
    let value = env::var(variable).ok();
    value.map_or(default, |value| value.parse().ok().expect("the setting is a number"))
}

/// Says it past the harness that captures output.
fn say(line: &str) {
    let _nobody_listens = writeln!(stderr(), "{line}");
}
