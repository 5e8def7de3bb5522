use std::{
    collections::HashSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bondify_emulator::{
    Change, Delivery, DeliveryState, Emulator, Persona, ProjectSettings, Resend, SessionStatus,
};
use tempfile::TempDir;
use test_engines::{Proxy, Upstream};
use tokio::time::sleep;

use crate::{
    LEASE, Mode, RECEIVERS, SECRET, Store, Ticket, effects,
    fleet::Fleet,
    ledger::{self, Entry, Ledger, Verdict},
    say, within,
};

/// The project that users log in to.
pub const PROJECT: &str = "proj_shop";

/// The numbers of logins before an outage, during it, and while the receivers catch up.
const DELIVERED: usize = 20;
const MISSED: usize = 100;
const MEANWHILE: usize = 30;

/// The number of logins that arrive by webhook and by polling at once.
const RACES: usize = 1000;

/// The first pause between two attempts, so that few tests wait for a retry.
const FAST: Duration = Duration::from_millis(10);

/// The number of logins that arrive by polling first, and by webhook first.
const IN_ORDER: usize = 50;

/// Kills all receivers, twice, until Bondify has stopped retrying the deliveries of that time. Then the receivers
/// catch up, two of them are killed while they do, and further logins are delivered.
///
/// # Panics
///
/// If a login was lost, took effect too often, or if it takes five minutes.
pub(crate) async fn run_outages(receiver: &str, store: Store, mode: Mode) {
    within(Duration::from_secs(300), outages(receiver, store, mode)).await;
}

/// Delivers each login to one process by webhook and to another by polling: to the poll first, to the
/// webhook first, and to both at the same time.
///
/// # Panics
///
/// If a login did not take effect once, or if it takes five minutes.
pub(crate) async fn run_polls(receiver: &str, store: Store, mode: Mode) {
    within(Duration::from_secs(300), polls(receiver, store, mode)).await;
}

async fn outages(receiver: &str, store: Store, mode: Mode) {
    let start = Instant::now();
    let books = Books::open(&store, mode).await;
    let balancer = Proxy::start(nobody()).await.expect("a port is free");
    let emulator = emulator(balancer.address(), FAST).await;
    let catch_up = ["catch-up", emulator.url(), emulator.developer_token(), "0"];
    let arguments = books.arguments(&catch_up);
    let mut fleet = Fleet::start(receiver, arguments, books.ledger.clone(), RECEIVERS).await;
    let (all, mut users, mut given_up) = (0..=RECEIVERS - 1, 0, 0);
    for _outage in 0..2 {
        balancer.redirect(Upstream::Tcp(fleet.address(0)));
        assert_eq!(failed(&log_in(&emulator, &mut users, DELIVERED).await), 0);

        balancer.redirect(nobody());
        balancer.cut();
        fleet.kill(all.clone()).await;
        given_up += failed(&log_in(&emulator, &mut users, MISSED).await);

        let before = books.effects().await.len();
        fleet.replace(all.clone()).await;
        books.until_there_are(before + MISSED / 10).await;
        fleet.crash(0..=1).await;
        balancer.redirect(Upstream::Tcp(fleet.address(RECEIVERS - 1)));
        assert_eq!(failed(&log_in(&emulator, &mut users, MEANWHILE).await), 0);
        books.until_there_are(users).await;
    }
    drop(fleet);

    assert_eq!(given_up, 2 * MISSED);
    let Verdict { faults, doubles, killed, .. } = books.verdict(users).await;
    say(&format!(
        "{store}, {mode}, outages: {users} logins, {given_up} of them given up by Bondify, {killed} \
         processes killed, {doubles} doubles, {:.1?}",
        start.elapsed()
    ));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

async fn polls(receiver: &str, store: Store, mode: Mode) {
    let start = Instant::now();
    let books = Books::open(&store, mode).await;
    let fleet = Fleet::start(receiver, books.arguments(&[]), books.ledger.clone(), 1).await;
    let balancer = Proxy::start(nobody()).await.expect("a port is free");
    let emulator = emulator(balancer.address(), FAST).await;
    let poll = async |process, others: &[&str]| {
        let arguments = books.arguments(others);
        Fleet::start_from(process, receiver, arguments, books.ledger.clone(), 1).await
    };
    let poll_all = async |process, deliveries: &[Arc<Delivery>]| {
        let tokens = deliveries.iter().map(|delivery| &*delivery.session_token);
        let others: Vec<_> = ["poll", emulator.url()].into_iter().chain(tokens).collect();
        poll(process, &others).await.ends().await;
    };
    let mut users = 0;

    let missed = log_in(&emulator, &mut users, IN_ORDER).await;
    assert_eq!(failed(&missed), IN_ORDER);
    poll_all(1, &missed).await;
    balancer.redirect(Upstream::Tcp(fleet.address(0)));
    for delivery in &missed {
        let again = emulator.resend(delivery.id, Resend::new()).expect("it is kept");
        let again = emulator.finished(again.id).await.expect("it is kept");
        assert_eq!(again.state, DeliveryState::Delivered);
    }

    let delivered = log_in(&emulator, &mut users, IN_ORDER).await;
    assert_eq!(failed(&delivered), 0);
    poll_all(2, &delivered).await;

    let mut changes = emulator.changes();
    let mut poller = poll(3, &["race", emulator.url(), &RACES.to_string()]).await;
    let mut tokens = Vec::new();
    while tokens.len() < RACES {
        let change = changes.next().await.expect("the emulator runs");
        if let Change::Session(session) = change
            && session.status == SessionStatus::Pending
        {
            let user = Persona::new(Ticket::user(users), "Ada Lovelace");
            emulator.confirm(&session.token, user).expect("it is pending");
            tokens.push(session.token.clone());
            users += 1;
        }
    }
    poller.ends().await;
    for token in &tokens {
        let delivery = emulator.delivery_of(token).await.expect("it is kept");
        assert_eq!(delivery.state, DeliveryState::Delivered);
    }
    drop(fleet);

    let entries = books.entries().await;
    let handled_by = |number| {
        let is_its =
            |entry: &&Entry| matches!(entry, Entry::Effect { process, .. } if *process == number);
        entries.iter().filter(is_its).count()
    };
    let Verdict { faults, doubles, .. } = books.verdict(users).await;
    say(&format!(
        "{store}, {mode}, webhook and poll: {users} logins, of {RACES} at once {} handled by the \
         poll, {doubles} doubles, {:.1?}",
        handled_by(3),
        start.elapsed()
    ));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert_eq!((handled_by(1), handled_by(2)), (IN_ORDER, 0), "the first one handles it");
}

/// Starts a local Bondify that delivers to `receiver` and begins its retries after `retry_base`.
pub(crate) async fn emulator(receiver: SocketAddr, retry_base: Duration) -> Emulator {
    let project = ProjectSettings::new().id(PROJECT).secret(SECRET).public_access(true);
    let project = project.webhook_url(format!("http://{receiver}/"));
    let emulator = Emulator::builder().project(project).keep_deliveries(10_000);
    let emulator = emulator.retry_base(retry_base).rate_limit(10_000_000);
    emulator.start().await.expect("a port is free")
}

/// Logs users in, and returns their deliveries once these have ended.
async fn log_in(emulator: &Emulator, users: &mut usize, count: usize) -> Vec<Arc<Delivery>> {
    let mut tokens = Vec::new();
    for _ in 0..count {
        tokens.push(confirm(emulator, Ticket::user(*users)));
        *users += 1;
    }
    let mut deliveries = Vec::new();
    for token in tokens {
        deliveries.push(emulator.delivery_of(&token).await.expect("it is kept"));
    }
    deliveries
}

/// Logs in the user with this id, and returns the session's token.
pub(crate) fn confirm(emulator: &Emulator, user: String) -> String {
    let session = emulator.generate(PROJECT).expect("it is active");
    emulator.confirm(&session.token, Persona::new(user, "Ada Lovelace")).expect("it is pending");
    session.token
}

/// The number of deliveries that Bondify gave up.
fn failed(deliveries: &[Arc<Delivery>]) -> usize {
    deliveries.iter().filter(|delivery| delivery.state == DeliveryState::Failed).count()
}

/// An address without a listener.
pub(crate) fn nobody() -> Upstream {
    Upstream::Unix(PathBuf::from("/nonexistent"))
}

/// The ledger of a run, and the table of effects with the inbox.
pub(crate) struct Books {
    mode: Mode,
    /// The store's URL.
    store: String,
    lease: Duration,
    pub(crate) ledger: Ledger,
    folder: TempDir,
}

impl Books {
    async fn open(store: &Store, mode: Mode) -> Self {
        Self::of(store.url(), mode, LEASE).await
    }

    pub(crate) async fn of(store: String, mode: Mode, lease: Duration) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let ledger = Ledger::open(path(&folder)).expect("there is room for a file");
        if mode == Mode::Inbox {
            effects::create_table(&store).await;
        }
        Self { mode, store, lease, ledger, folder }
    }

    pub(crate) fn arguments(&self, others: &[&str]) -> Vec<String> {
        let ledger = path(&self.folder).display().to_string();
        let lease = self.lease.as_millis().to_string();
        let arguments = [self.mode.to_string(), self.store.clone(), ledger, lease];
        arguments.into_iter().chain(others.iter().map(|&other| other.to_owned())).collect()
    }

    async fn entries(&self) -> Vec<Entry> {
        let mut entries = ledger::read(&path(&self.folder));
        if self.mode == Mode::Inbox {
            entries.extend(effects::read(&self.store).await);
        }
        entries
    }

    pub(crate) fn entries_with_times(&self) -> Vec<(Duration, Entry)> {
        ledger::read_with_times(&path(&self.folder))
    }

    /// The entries of an event, of the kills of its processes, and of the store.
    pub(crate) fn history(&self, event: usize) -> String {
        ledger::timed_history(event, &self.entries_with_times())
    }

    async fn effects(&self) -> HashSet<usize> {
        let event = |entry| match entry {
            Entry::Effect { event, .. } => Some(event),
            _ => None,
        };
        self.entries().await.into_iter().filter_map(event).collect()
    }

    pub(crate) async fn until_there_are(&self, effects: usize) {
        while self.effects().await.len() < effects {
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn verdict(&self, events: usize) -> Verdict {
        ledger::judge(self.mode, events, &self.entries().await)
    }
}

fn path(folder: &TempDir) -> PathBuf {
    Path::join(folder.path(), "ledger")
}
