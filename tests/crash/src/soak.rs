//! A soak: each login arrives by webhook and, at random, by polling, by its proof and by catching up,
//! while receivers are killed, connections become silent, and the store is unavailable for shorter and
//! longer than a lease.

use std::{
    fmt, fs,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bondify_axum::Secret;
use bondify_emulator::Emulator;
use bondify_sqlx::{
    SqliteStore,
    sqlx::{SqlitePool, query},
};
use bondify_testkit::{Connection, Payload, WebhookRequest};
use test_engines::{Engine, Proxy, Stop, Upstream};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinSet, block_in_place},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    Mode, PROJECT, SECRET, Store, Ticket,
    fleet::{Fleet, Instance},
    ledger::{self, Entry},
    logins::{Books, confirm, emulator, nobody},
    say,
};

/// The lease of a claim, which is the default.
const LEASE: Duration = Duration::from_secs(10);

/// An outage that every lease survives.
const SHORT: Duration = Duration::from_secs(4);

/// An outage that no lease survives. It is also longer than a receiver waits for its store before it
/// answers: no other way of a login is waiting when the store is back, and could take over a handled
/// login whose completion was lost.
const LONG: Duration = Duration::from_secs(16);

/// The age from which on a login is caught up with. It is longer than any outage, for the same reason.
const MIN_AGE: Duration = Duration::from_secs(30);

/// The number of receivers.
const FLEET: usize = 3;

/// The pause between two logins.
const PACE: Duration = Duration::from_millis(50);

/// The numbers of forged logins begin here.
const FORGED: usize = 1_000_000_000;

/// The time that a soak waits for the last logins to take effect, and to take effect again.
const LAST_LOGINS: Duration = Duration::from_secs(180);
const LATE_DOUBLES: Duration = Duration::from_secs(40);

/// Runs a fleet for about `length` with every kind of trouble in turn, and prints figures.
///
/// # Panics
///
/// If a login was lost, a forged one was let in, or a login took effect again although the process that
/// handled it was not killed, and the store was not away for longer than a lease while another process could
/// take the login over.
pub async fn run_soak(receiver: &str, store: Store, length: Duration) {
    let start = Instant::now();
    let mut site = Site::open(receiver, store, FLEET).await;
    let (goes_on, load) = site.load(0);
    let mut troubles = Vec::new();
    while start.elapsed() < length {
        let mut all = Trouble::ALL;
        fastrand::shuffle(&mut all);
        for trouble in all {
            say(&format!("{}: {trouble:?} after {:.0?}", site.store, start.elapsed()));
            site.suffer(trouble).await;
            troubles.push(trouble);
        }
    }
    goes_on.send_replace(false);
    let figures = load.await.expect("no arrival panics");
    let all_effects = site.books.until_there_are(figures.logins);
    let _lost_ones_are_counted = timeout(LAST_LOGINS, all_effects).await;
    sleep(LATE_DOUBLES).await;

    let balance = ledger::balance(LEASE, figures.logins, &site.books.entries_with_times());
    say(&format!(
        "{}: {:.0?}, {}; {}; lost {}, forged {}, doubled {} after a death, {} by another process after an \
         outage longer than a lease, and {} without a reason",
        site.store,
        start.elapsed(),
        Counts(&troubles),
        figures,
        balance.lost.len(),
        balance.forged,
        balance.after_deaths,
        balance.after_outages,
        balance.doubled.len(),
    ));
    for event in balance.lost.iter().chain(&balance.doubled) {
        say(&format!("event {event}: {}", site.books.history(*event)));
    }
    assert!(balance.lost.is_empty(), "lost: {:?}", balance.lost);
    assert_eq!((balance.forged, figures.let_in), (0, 0), "forged logins were let in");
    assert!(balance.doubled.is_empty(), "doubled: {:?}", balance.doubled);
}

/// The number of equal parts of a watch. The first quarter is the warm-up.
const ROUNDS: usize = 20;

/// Runs one receiver under load for `length`, without troubles, and prints its memory and its number of
/// descriptors.
///
/// # Panics
///
/// If the last quarter needs clearly more of one than the second.
pub async fn run_watch(receiver: &str, store: Store, length: Duration) {
    let site = Site::open(receiver, store, 1).await;
    let process = PathBuf::from(format!("/proc/{}", site.fleet.id(0)));
    let (mut logins, mut samples) = (0, Vec::new());
    for round in 1..=ROUNDS {
        let (goes_on, load) = site.load(logins);
        sleep(length / ROUNDS as u32).await;
        let memory = resident_kib(&process);
        goes_on.send_replace(false);
        logins = load.await.expect("no arrival panics").logins;
        site.books.until_there_are(logins).await;
        // So that the list of sessions, which each catch-up reads, does not grow.
        site.emulator.reset();
        // Those of requests are closed by now.
        let descriptors = descriptors(&process);
        say(&format!(
            "{}, {round}/{ROUNDS}: {logins} logins, {memory} KiB, {descriptors} descriptors",
            site.store
        ));
        samples.push((memory, descriptors));
    }
    let quarter = ROUNDS / 4;
    let most = |from: usize| {
        let part = &samples[from..from + quarter];
        let memory = part.iter().map(|&(memory, _)| memory).max();
        memory.zip(part.iter().map(|&(_, descriptors)| descriptors).max()).expect("it has samples")
    };
    let (before, after) = (most(quarter), most(ROUNDS - quarter));
    assert!(after.0 <= before.0 * 11 / 10 + 2048, "{} KiB, then {} KiB", before.0, after.0);
    assert!(after.1 <= before.1 + 8, "{} descriptors, then {}", before.1, after.1);
}

/// The resident memory of a process.
fn resident_kib(process: &std::path::Path) -> usize {
    let status = fs::read_to_string(process.join("status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    number.expect("Linux has a line for it")
}

fn descriptors(process: &std::path::Path) -> usize {
    fs::read_dir(process.join("fd")).expect("it runs").count()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// A receiver is killed and replaced.
    Kill,
    /// The connections to the store become silent.
    DeafStore,
    /// The connections to the receivers become silent.
    DeafWebhooks,
    /// The store crashes and comes back.
    ShortOutage,
    /// The store comes back after every lease has expired.
    LongOutage,
    /// The store accepts connections and says nothing, until every lease has expired.
    Silence,
}

impl Trouble {
    const ALL: [Self; 6] = [
        Self::Kill,
        Self::DeafStore,
        Self::DeafWebhooks,
        Self::ShortOutage,
        Self::LongOutage,
        Self::Silence,
    ];
}

/// Writes each trouble with its number.
struct Counts<'a>(&'a [Trouble]);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |trouble| self.0.iter().filter(|&&other| other == trouble).count();
        let all = Trouble::ALL.map(|trouble| format!("{} {trouble:?}", count(trouble)));
        f.write_str(&all.join(", "))
    }
}

/// Everything that runs.
struct Site {
    store: Store,
    books: Books,
    emulator: Arc<Emulator>,
    /// Between Bondify and the receivers.
    balancer: Proxy,
    /// Between the receivers and their store. An SQLite file has none.
    network: Option<Proxy>,
    fleet: Fleet,
}

impl Site {
    async fn open(receiver: &str, store: Store, size: usize) -> Self {
        let network = match store.socket() {
            Some(socket) => Some(Proxy::start(socket).await.expect("a port is free")),
            None => None,
        };
        let url =
            network.as_ref().map_or_else(|| store.url(), |network| store.url_through(network));
        let books = Books::of(url, Mode::Claims, LEASE).await;
        let balancer = Proxy::start(nobody()).await.expect("a port is free");
        let emulator = Arc::new(emulator(balancer.address(), Duration::from_secs(2)).await);
        let min_age = MIN_AGE.as_secs().to_string();
        let ways = ["catch-up", emulator.url(), emulator.developer_token(), &min_age];
        let arguments = books.arguments(&ways);
        let fleet = Fleet::start(receiver, arguments, books.ledger.clone(), size).await;
        balancer.redirect(Upstream::Tcp(fleet.address(0)));
        Self { store, books, emulator, balancer, network, fleet }
    }

    /// Logs users in, from the number `first` on, until the sender is sent `false`.
    fn load(&self, first: usize) -> (watch::Sender<bool>, tokio::task::JoinHandle<Figures>) {
        let (goes_on, is_wanted) = watch::channel(true);
        let (emulator, instances) = (self.emulator.clone(), self.fleet.instances());
        (goes_on, tokio::spawn(load(first, emulator, instances, is_wanted)))
    }

    /// Makes trouble, and waits until everything can have recovered from it. Meanwhile Bondify delivers to
    /// another receiver.
    async fn suffer(&mut self, trouble: Trouble) {
        let victim = fastrand::usize(..FLEET);
        let calm = match trouble {
            Trouble::Kill => {
                self.fleet.kill(victim..=victim).await;
                self.balancer.redirect(Upstream::Tcp(self.fleet.address((victim + 1) % FLEET)));
                self.balancer.cut();
                self.fleet.replace(victim..=victim).await;
                LEASE
            }
            Trouble::DeafWebhooks => {
                self.balancer.redirect(Upstream::Tcp(self.fleet.address(victim)));
                self.balancer.go_deaf();
                LEASE
            }
            Trouble::DeafStore => {
                if let Some(network) = &self.network {
                    network.go_deaf();
                }
                LEASE
            }
            Trouble::ShortOutage => {
                self.outage(SHORT).await;
                LEASE
            }
            Trouble::LongOutage => {
                self.outage(LONG).await;
                2 * LEASE
            }
            Trouble::Silence => {
                self.silence(LONG).await;
                2 * LEASE
            }
        };
        sleep(calm).await;
    }

    /// Stops the store for this time, or locks its file.
    async fn outage(&mut self, length: Duration) {
        let start = Instant::now();
        if let Store::Engine(engine) = &mut self.store {
            let engine: &mut Engine = engine;
            block_in_place(|| engine.stop(Stop::Crash));
            sleep(length).await;
            block_in_place(|| engine.start_again());
        } else {
            self.lock_file(length).await;
        }
        self.books.ledger.note(Entry::Restart { millis: start.elapsed().as_millis() as u64 });
    }

    async fn silence(&self, length: Duration) {
        let start = Instant::now();
        self.be_silent(length).await;
        self.books.ledger.note(Entry::Restart { millis: start.elapsed().as_millis() as u64 });
    }

    async fn be_silent(&self, length: Duration) {
        let (Some(network), Some(socket)) = (&self.network, self.store.socket()) else {
            return self.lock_file(length).await;
        };
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        network.redirect(Upstream::Tcp(silent.local_addr().expect("it listens")));
        network.go_deaf();
        sleep(length).await;
        network.redirect(socket);
        network.go_deaf();
    }

    async fn lock_file(&self, length: Duration) {
        let url = self.store.url();
        let path = url.strip_prefix("sqlite:").expect("others have a socket");
        let pool = SqlitePool::connect_with(SqliteStore::options(path)).await.expect("a file");
        let mut connection = pool.acquire().await.expect("it is open");
        query("BEGIN EXCLUSIVE").execute(&mut *connection).await.expect("the lock is free");
        sleep(length).await;
        query("COMMIT").execute(&mut *connection).await.expect("it is locked");
    }
}

/// The numbers of a load.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    logins: usize,
    /// Requests to poll, and those that had an effect.
    polls: usize,
    by_poll: usize,
    /// Requests with proofs, and those that had an effect.
    proofs: usize,
    by_proof: usize,
    /// Forged requests, those that were refused with 401, and those that were accepted.
    forged: usize,
    refused: usize,
    let_in: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logins, polls, by_poll, proofs, by_proof, forged, refused, .. } = self;
        write!(
            f,
            "{logins} logins, {polls} of them polled too ({by_poll} effects), {proofs} sent with a proof \
             too ({by_proof} effects), {forged} forged ones ({refused} refused, the others without an \
             answer)"
        )
    }
}

async fn load(
    first: usize,
    emulator: Arc<Emulator>,
    instances: watch::Receiver<Vec<Instance>>,
    goes_on: watch::Receiver<bool>,
) -> Figures {
    let mut figures = Figures { logins: first, ..Figures::default() };
    let mut arrivals = JoinSet::new();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while *goes_on.borrow() {
        pace.tick().await;
        let user = figures.logins;
        figures.logins += 1;
        // The slow ones are often hit by a trouble between their effect and their settlement.
        let id = if fastrand::bool() { Ticket::user(user) } else { Ticket::slow_user(user) };
        let token = confirm(&emulator, id.clone());
        let proof = proof(id, &token, SECRET);
        for arrival in [Arrival::Poll(token), Arrival::Proof(proof), Arrival::forged(user)] {
            if fastrand::bool() {
                let all = instances.borrow();
                let receiver = all[fastrand::usize(..all.len())].address;
                arrivals.spawn(async move {
                    let status = arrival.send(receiver).await;
                    (arrival, status)
                });
            }
        }
        while let Some(arrived) = arrivals.try_join_next() {
            figures.count(arrived.expect("no arrival panics"));
        }
    }
    for arrived in arrivals.join_all().await {
        figures.count(arrived);
    }
    figures
}

impl Figures {
    fn count(&mut self, (arrival, status): (Arrival, Option<u16>)) {
        let took_effect = usize::from(status == Some(201));
        match arrival {
            Arrival::Poll(_) => {
                self.polls += 1;
                self.by_poll += took_effect;
            }
            Arrival::Proof(_) => {
                self.proofs += 1;
                self.by_proof += took_effect;
            }
            Arrival::Forged(..) => {
                self.forged += 1;
                self.refused += usize::from(status == Some(401));
                self.let_in += usize::from(status.is_some_and(|status| status < 300));
            }
        }
    }
}

/// A request beside Bondify's webhooks.
enum Arrival {
    /// The token of a session to poll.
    Poll(String),
    /// The proof of a login.
    Proof(String),
    /// A forgery, and its path.
    Forged(&'static str, WebhookRequest),
}

impl Arrival {
    /// A webhook that was changed, signed with another secret, or not signed, or a proof that was signed
    /// with another secret.
    fn forged(user: usize) -> Self {
        let [ours, other] = [SECRET, "whsec_other"].map(secret);
        let token = Ticket { event: FORGED + user, pause: Duration::ZERO }.to_string();
        let webhook = Payload::confirmed().session_token(&token);
        match user % 4 {
            0 => Self::Forged("/", webhook.signed_with(&ours).tampered()),
            1 => Self::Forged("/", webhook.signed_with(&other)),
            2 => Self::Forged("/", webhook.signed_with(&ours).without("x-bondify-signature")),
            _ => {
                let proof = proof(Ticket::user(FORGED + user), &token, "whsec_other");
                Self::Forged("/proof", WebhookRequest::signed(proof, &ours))
            }
        }
    }

    /// The status of the answer, if there is one.
    async fn send(&self, receiver: SocketAddr) -> Option<u16> {
        let body = |text: &str| WebhookRequest::signed(text.to_owned(), &secret(SECRET));
        let (path, request) = match self {
            Self::Poll(token) => ("/poll", &body(token)),
            Self::Proof(proof) => ("/proof", &body(proof)),
            Self::Forged(path, request) => (*path, request),
        };
        let response = async {
            let mut connection = Connection::open(receiver).await?;
            connection.post(path, request).await
        };
        let response = timeout(Duration::from_secs(20), response).await.ok()?.ok()?;
        Some(response.status)
    }
}

fn proof(user_id: String, token: &str, signed_with: &str) -> String {
    let proof = Payload::proof().session_token(token).telegram_id(user_id);
    proof.field("project_id", PROJECT).proof_signed_with(&secret(signed_with))
}

fn secret(text: &str) -> Secret {
    Secret::new(text).expect("it is one")
}
