//! Counts how often events take effect while receivers are killed, their store is restarted, and
//! a sender retries as Bondify does:
//!
//! - With claims, each event at least once, and twice only where a process died between the
//!   effect and its settlement.
//! - With the inbox, each event exactly once.
//!
//! The same holds for deliveries that Bondify stopped retrying while no receiver ran, and for logins
//! that arrive by webhook and by polling.
//!
//! `BONDIFY_CRASH_SEED` (1 unless set) decides the order of deliveries and the times of kills.
//! `BONDIFY_CRASH_EVENTS` is the number of events, for longer runs. The store is restarted after a
//! third and two thirds of them.

pub mod cases;
mod effects;
mod fleet;
mod ledger;
mod logins;
mod plan;
mod sender;
mod soak;
mod store;
mod ticket;

use std::{
    env, fmt,
    io::{Write, stderr},
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use test_engines::{Engine, Stop};
use tokio::{sync::RwLock, task::block_in_place, time::timeout};

use crate::{
    fleet::Fleet,
    plan::{Disturbance, Plan},
    sender::Sender,
};
pub use crate::{
    ledger::{Entry, Ledger},
    logins::PROJECT,
    soak::{run_soak, run_watch},
    store::Store,
    ticket::Ticket,
};

/// The secret that receivers and sender share.
pub const SECRET: &str = "whsec_test";

/// The lease of a claim. A restart of the store has to be shorter, also on a busy machine:
/// otherwise the lease is lost, and the event takes effect again.
const LEASE: Duration = Duration::from_secs(6);

/// The times of Bondify's retries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Retries {
    /// After the lease of a killed process has expired.
    LongerThanTheLease,
    /// Before that, as with retries after 1, 2 and 4 s and a lease of 10 s: only a retry that
    /// waits for the lease can take over the event.
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

/// The way in which receivers deduplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Mode {
    /// Claims in the dedupe store.
    Claims,
    /// Records in the inbox, in the transaction of the effect.
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

/// Delivers events to processes of the program `receiver`, and judges their effects.
///
/// # Panics
///
/// If an event was lost, took effect too often, or if it takes an hour for each 10 000
/// events.
pub(crate) async fn run(receiver: &str, store: Store, mode: Mode, retries: Retries) {
    let plan = Plan::new(seed(), setting("BONDIFY_CRASH_EVENTS", 3000));
    let limit = Duration::from_millis(360 * plan.tickets.len() as u64);
    within(limit, run_plan(plan, receiver, store, mode, retries)).await;
}

/// The same with handlers that outlast their lease, which has to be renewed, and without restarts
/// of the store.
///
/// # Panics
///
/// If an event was lost, took effect too often, or if it takes five minutes.
pub(crate) async fn run_long_handlers(receiver: &str, store: Store) {
    let plan = Plan::of_long_handlers(seed());
    let run = run_plan(plan, receiver, store, Mode::Claims, Retries::LongerThanTheLease);
    within(Duration::from_secs(300), run).await;
}

/// The same for a queue that delivers stored events to [`Bondify::handle`], again after a crash.
///
/// [`Bondify::handle`]: bondify_axum::Bondify::handle
///
/// # Panics
///
/// If an event was lost, took effect too often, or if it takes five minutes.
pub(crate) async fn run_queue(receiver: &str, store: Store, mode: Mode) {
    let plan = Plan::of_a_queue(seed());
    let run = run_plan(plan, receiver, store, mode, Retries::LongerThanTheLease);
    within(Duration::from_secs(300), run).await;
}

async fn within(limit: Duration, run: impl Future<Output = ()>) {
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
    let quiet = Arc::new(RwLock::new(()));
    let sender = Sender::new(
        plan.path,
        &plan.tickets,
        retries.pauses(plan.lease),
        fleet.instances(),
        ledger.clone(),
        quiet.clone(),
    );
    let sender = Arc::new(sender);
    let load = tokio::spawn(sender.clone().deliver_all(plan.deliveries));
    for (progress, disturbance) in plan.disturbances {
        sender.has_finished(progress).await;
        let _no_last_attempt_is_running = quiet.write().await;
        match (disturbance, &mut store) {
            (Disturbance::Crash(receiver), _) => fleet.crash(receiver..=receiver).await,
            (Disturbance::Restart(stop), Store::Engine(engine) | Store::Pooled(engine, _)) => {
                restart(engine, stop, &ledger);
            }
            // There is no server: the receivers are restarted instead.
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

/// Prints a line that the test harness does not capture.
fn say(line: &str) {
    let _nobody_listens = writeln!(stderr(), "{line}");
}
