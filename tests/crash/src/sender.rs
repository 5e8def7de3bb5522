use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bondify_axum::Secret;
use bondify_testkit::{Connection, Payload, WebhookRequest};
use tokio::{
    sync::{OwnedSemaphorePermit, RwLock, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    SECRET, Ticket,
    fleet::Instance,
    ledger::{Entry, Ledger},
    plan::Delivery,
};

/// Delivers as Bondify does: the same bytes up to four times, until a 2xx comes in time.
pub(crate) struct Sender {
    path: &'static str,
    requests: Vec<WebhookRequest>,
    pauses: [Duration; 3],
    instances: watch::Receiver<Vec<Instance>>,
    ledger: Ledger,
    places: Arc<Semaphore>,
    /// Read-locked by deliveries in their last attempt: a crash or restart during it would be the
    /// test's own fault, not the receivers'.
    quiet: Arc<RwLock<()>>,
    attempts: AtomicUsize,
    finished: watch::Sender<usize>,
    lost: Mutex<Vec<String>>,
}

/// The time that Bondify waits for an answer.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of first attempts at a time.
const PLACES: usize = 32;

impl Sender {
    pub(crate) fn new(
        path: &'static str,
        tickets: &[Ticket],
        pauses: [Duration; 3],
        instances: watch::Receiver<Vec<Instance>>,
        ledger: Ledger,
        quiet: Arc<RwLock<()>>,
    ) -> Self {
        let secret = Secret::new(SECRET).expect("it is one");
        let request = |ticket: &Ticket| {
            Payload::confirmed().session_token(ticket.to_string()).signed_with(&secret)
        };
        Self {
            path,
            requests: tickets.iter().map(request).collect(),
            pauses,
            instances,
            ledger,
            places: Arc::new(Semaphore::new(PLACES)),
            quiet,
            attempts: AtomicUsize::default(),
            finished: watch::Sender::default(),
            lost: Mutex::default(),
        }
    }

    /// Waits until that many deliveries have ended.
    pub(crate) async fn has_finished(&self, deliveries: usize) {
        let mut finished = self.finished.subscribe();
        finished.wait_for(|&finished| finished >= deliveries).await.expect("we send");
    }

    /// The number of attempts so far.
    pub(crate) fn attempts(&self) -> usize {
        self.attempts.load(Relaxed)
    }

    /// The deliveries whose attempts all failed, with the reasons.
    pub(crate) fn lost(&self) -> Vec<String> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn deliver_all(self: Arc<Self>, deliveries: Vec<Delivery>) {
        let mut running = JoinSet::new();
        for Delivery { event, copies } in deliveries {
            let places = self.places.clone().acquire_many_owned(copies).await;
            let mut places = places.expect("it is never closed");
            while let Some(place) = places.split(1) {
                running.spawn(self.clone().deliver(event, place));
            }
        }
        running.join_all().await;
    }

    async fn deliver(self: Arc<Self>, event: usize, place: OwnedSemaphorePermit) {
        let mut failures = Vec::new();
        let mut result = self.attempt(event).await;
        drop(place);
        for (retry, pause) in (1..).zip(self.pauses) {
            let Err(failure) = &result else { break };
            failures.push(failure.clone());
            sleep(pause).await;
            let is_last = retry == self.pauses.len();
            let _quiet = if is_last { Some(self.quiet.read().await) } else { None };
            result = self.attempt(event).await;
        }
        match result {
            Ok(process) => self.ledger.note(Entry::Answer { event, process }),
            Err(failure) => {
                failures.push(failure);
                let lost = format!("a delivery of event {event} failed: {}", failures.join("; "));
                self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(lost);
            }
        }
        self.finished.send_modify(|finished| *finished += 1);
    }

    /// Makes one attempt. Returns the process that answered 2xx in time, or the failure.
    async fn attempt(&self, event: usize) -> Result<usize, String> {
        self.attempts.fetch_add(1, Relaxed);
        let attempt = async {
            let (process, mut connection) = self.connect().await;
            match connection.post(self.path, &self.requests[event]).await {
                Ok(response) if (200..300).contains(&response.status) => Ok(process),
                Ok(response) => Err(format!("process {process} answered {}", response.status)),
                Err(error) => Err(format!("process {process} did not answer: {error}")),
            }
        };
        timeout(DELIVERY_TIMEOUT, attempt)
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    /// Sends to the receivers in turn, as a load balancer does: to the next one if a connection is
    /// refused, again later if all are. A request that was sent is not sent again.
    async fn connect(&self) -> (usize, Connection) {
        let mut instances = self.instances.clone();
        let turn = self.attempts.load(Relaxed);
        loop {
            let current = instances.borrow_and_update().clone();
            for instance in current.iter().cycle().skip(turn % current.len()).take(current.len()) {
                if let Ok(connection) = Connection::open(instance.address).await {
                    return (instance.process, connection);
                }
            }
            instances.changed().await.expect("the fleet outlives the load");
        }
    }
}
