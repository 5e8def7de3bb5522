use std::{sync::Arc, time::SystemTime};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    Attempt, Change, Delivery, DeliveryId, DeliveryState,
    backend::Backend,
    queue::{Job, Limits, Queue},
    transport::Transport,
};

/// Starts the attempts of deliveries, each when it is due.
pub(crate) struct Dispatcher<T> {
    backend: Arc<Backend>,
    transport: Arc<T>,
    changes: mpsc::UnboundedReceiver<(Change, SystemTime)>,
    queue: Queue,
    in_flight: JoinSet<DeliveryId>,
}

impl<T: Transport> Dispatcher<T> {
    pub(crate) fn new(
        backend: Arc<Backend>,
        transport: T,
        changes: mpsc::UnboundedReceiver<(Change, SystemTime)>,
        limits: Limits,
    ) -> Self {
        let (transport, queue) = (Arc::new(transport), Queue::new(limits));
        Self { backend, transport, changes, queue, in_flight: JoinSet::new() }
    }

    /// Runs until the sender of changes is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            while let Some(id) = self.queue.pop(Instant::now()) {
                let attempt = attempt(Arc::clone(&self.backend), Arc::clone(&self.transport), id);
                self.in_flight.spawn(attempt);
            }
            let next = self.queue.next(Instant::now());
            tokio::select! {
                changed = self.changes.recv() => match changed {
                    Some((Change::Delivery(delivery), at)) => self.queue(&delivery, at),
                    Some((Change::Reset, _)) => {
                        self.queue.clear();
                        self.in_flight = JoinSet::new();
                    }
                    Some(_) => {}
                    None => return,
                },
                Some(Ok(id)) = self.in_flight.join_next() => self.queue.done(id),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// Queues a delivery that changed at this time, if it waits for an attempt.
    fn queue(&mut self, delivery: &Delivery, changed_at: SystemTime) {
        let DeliveryState::Queued { due } = delivery.state else { return };
        self.queue.push(Job {
            id: delivery.id,
            project_id: delivery.project_id.clone(),
            priority: delivery.priority,
            due: Instant::now() + due.duration_since(changed_at).unwrap_or_default(),
        });
    }
}

async fn attempt(
    backend: Arc<Backend>,
    transport: Arc<impl Transport>,
    id: DeliveryId,
) -> DeliveryId {
    let begun = backend.with(|state| Some((state.begin_attempt(id)?, state.now)));
    let Some(((delivery, fault), started_at)) = begun else { return id };
    let started = Instant::now();
    let (request_headers, outcome) = transport.send(&delivery, fault).await;
    let duration = started.elapsed();
    tracing::debug!(delivery = %id, ?outcome, ?duration, "delivery attempt ended");
    let attempt = Attempt { started_at, duration, request_headers, outcome };
    backend.with(|state| state.end_attempt(id, attempt));
    id
}

// The schedule, on tokio's paused clock.
#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use tokio::time::sleep;

    use super::*;
    use crate::{
        Cause, Fault, Outcome, Persona, Plan, ProjectSettings,
        clock::Clock,
        state::{Rules, State},
    };

    /// The time in seconds, the delivery and the fault of an attempt.
    type Sent = (u64, Delivery, Option<Fault>);

    /// A receiver with a delay and a status for each path, which records the requests.
    #[derive(Clone)]
    struct Receiver {
        started: Instant,
        answer: fn(&str, Duration) -> (Duration, u16),
        received: Arc<Mutex<Vec<Sent>>>,
    }

    impl Transport for Receiver {
        async fn send(
            &self,
            delivery: &Delivery,
            fault: Option<Fault>,
        ) -> (Vec<(String, String)>, Outcome) {
            let now = self.started.elapsed();
            let (takes, status) = (self.answer)(delivery.url.path(), now);
            self.received.lock().unwrap().push((now.as_secs(), delivery.clone(), fault));
            sleep(takes).await;
            let (response_headers, response_body) = Default::default();
            (Vec::new(), Outcome::Answered { status, response_headers, response_body })
        }
    }

    struct Fixture {
        backend: Arc<Backend>,
        receiver: Receiver,
    }

    impl Fixture {
        fn new(answer: fn(&str, Duration) -> (Duration, u16)) -> Self {
            Self::limited(Limits::default(), answer)
        }

        fn limited(limits: Limits, answer: fn(&str, Duration) -> (Duration, u16)) -> Self {
            let started = Instant::now();
            let clock = Clock::new(move || SystemTime::UNIX_EPOCH + started.elapsed());
            let (backend, changes) =
                Backend::new(State::new(Rules::default(), clock.now()), None, clock);
            let backend = Arc::new(backend);
            let receiver = Receiver { started, answer, received: Arc::default() };
            let dispatcher =
                Dispatcher::new(Arc::clone(&backend), receiver.clone(), changes, limits);
            tokio::spawn(dispatcher.run());
            Self { backend, receiver }
        }

        /// A project whose webhook URL has its id as the path.
        fn project(&self, id: &str, settings: ProjectSettings) {
            let settings = settings.id(id).webhook_url(format!("http://localhost/{id}"));
            self.backend.with(|state| state.add_project(settings)).unwrap();
        }

        fn confirm(&self, project_id: &str) {
            self.backend.with(|state| {
                let session = state.generate(project_id).unwrap();
                state.confirm(&session.token, Persona::default()).unwrap();
            });
        }

        /// Waits for an hour, in which all deliveries finish.
        async fn settle(&self) {
            sleep(Duration::from_secs(3600)).await;
        }

        /// The times of the requests to that path, in seconds.
        fn times(&self, path: &str) -> Vec<u64> {
            let received = self.receiver.received.lock().unwrap();
            let came = received.iter().filter(|(_, delivery, _)| delivery.url.path() == path);
            came.map(|(time, ..)| *time).collect()
        }

        fn deliveries(&self) -> Vec<Arc<Delivery>> {
            self.backend.with(|state| state.deliveries().cloned().collect())
        }
    }

    const AT_ONCE: Duration = Duration::ZERO;

    #[tokio::test(start_paused = true)]
    async fn hobby_is_retried_three_times() {
        let fixture = Fixture::new(|_, _| (AT_ONCE, 500));
        fixture.project("shop", ProjectSettings::new());
        fixture.confirm("shop");
        fixture.settle().await;
        assert_eq!(fixture.times("/shop"), [0, 1, 3, 7]);
        let delivery = &fixture.deliveries()[0];
        assert_eq!(delivery.state, DeliveryState::Failed);
        assert_eq!(delivery.attempts.len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn pro_and_business_are_retried_for_longer() {
        for plan in [Plan::Pro, Plan::Business] {
            let fixture = Fixture::new(|_, _| (AT_ONCE, 302));
            fixture.project("shop", ProjectSettings::new().plan(plan));
            fixture.confirm("shop");
            fixture.settle().await;
            assert_eq!(fixture.times("/shop"), [0, 1, 3, 7, 15, 31, 63]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_2xx_ends_the_attempts_and_each_sends_the_same_bytes() {
        let fixture = Fixture::new(|_, now| (AT_ONCE, if now.as_secs() < 3 { 503 } else { 299 }));
        fixture.project("shop", ProjectSettings::new());
        fixture.confirm("shop");
        fixture.settle().await;
        assert_eq!(fixture.times("/shop"), [0, 1, 3]);
        assert_eq!(fixture.deliveries()[0].state, DeliveryState::Delivered);
        let received = fixture.receiver.received.lock().unwrap();
        let sent: Vec<_> =
            received.iter().map(|(_, sent, _)| (&sent.body, &sent.signature)).collect();
        assert!(sent.iter().all(|attempt| *attempt == sent[0]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_endpoint_does_not_delay_others() {
        let fixture = Fixture::new(|path, _| match path {
            "/quick" => (AT_ONCE, 200),
            _ => (Duration::from_secs(10), 500),
        });
        fixture.project("quick", ProjectSettings::new());
        for slow in 0..8 {
            fixture.project(&format!("slow{slow}"), ProjectSettings::new().plan(Plan::Pro));
            (0..50).for_each(|_| fixture.confirm(&format!("slow{slow}")));
        }
        for second in 0..30 {
            fixture.confirm("quick");
            sleep(Duration::from_secs(1)).await;
            assert_eq!(fixture.times("/quick").last(), Some(&second));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn queued_deliveries_of_pro_and_business_start_first() {
        let limits = Limits { total: 2, ..Limits::default() };
        let fixture = Fixture::limited(limits, |_, _| (Duration::from_millis(100), 200));
        fixture.project("hobby", ProjectSettings::new());
        fixture.project("pro", ProjectSettings::new().plan(Plan::Pro));
        fixture.project("business", ProjectSettings::new().plan(Plan::Business));
        (0..20).for_each(|_| fixture.confirm("hobby"));
        sleep(Duration::from_millis(50)).await;
        (0..10).for_each(|_| ["pro", "business"].iter().for_each(|id| fixture.confirm(id)));
        fixture.settle().await;
        let received = fixture.receiver.received.lock().unwrap();
        let order: Vec<_> = received.iter().map(|(_, delivery, _)| delivery.url.path()).collect();
        assert_eq!(order[..2], ["/hobby", "/hobby"], "before there was anything else");
        assert!(order[2..22].iter().all(|path| *path != "/hobby"), "{order:?}");
        assert!(order[22..].iter().all(|path| *path == "/hobby"), "{order:?}");
        assert_eq!(order.len(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn no_delivery_is_lost_while_a_receiver_is_repeatedly_unavailable() {
        // It is up in every second interval of five seconds.
        let fixture = Fixture::new(|_, now| match now.as_secs() / 5 % 2 {
            0 => (Duration::from_secs(1), 503),
            _ => (Duration::from_millis(10), 204),
        });
        fixture.project("shop", ProjectSettings::new().plan(Plan::Business));
        for _ in 0..300 {
            fixture.confirm("shop");
            sleep(Duration::from_millis(200)).await;
        }
        fixture.settle().await;
        let deliveries = fixture.deliveries();
        assert_eq!(deliveries.len(), 300);
        assert!(deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered));
    }

    #[tokio::test(start_paused = true)]
    async fn faults_delay_and_duplicate() {
        let fixture = Fixture::new(|_, _| (Duration::from_secs(2), 200));
        let faulty = |fault| ProjectSettings::new().faults([fault]);
        fixture.project("late", faulty(Fault::Delay(Duration::from_secs(5))));
        fixture.project("twice", faulty(Fault::Duplicate));
        fixture.project("at_once", faulty(Fault::ConcurrentDuplicate));
        ["late", "twice", "at_once"].iter().for_each(|id| fixture.confirm(id));
        fixture.settle().await;
        assert_eq!(fixture.times("/late"), [5]);
        assert_eq!(fixture.times("/twice"), [0, 2]);
        assert_eq!(fixture.times("/at_once"), [0, 0]);
        let deliveries = fixture.deliveries();
        for [copy, original] in [[&deliveries[0], &deliveries[3]], [&deliveries[1], &deliveries[2]]]
        {
            assert_eq!(copy.cause, Cause::Duplicate(original.id));
            assert_eq!((&copy.body, &copy.signature), (&original.body, &original.signature));
        }

        let before = fixture.receiver.started.elapsed().as_secs();
        let faults = [Fault::Delay(Duration::from_secs(5)), Fault::ConcurrentDuplicate];
        fixture.project("late_at_once", ProjectSettings::new().faults(faults));
        fixture.confirm("late_at_once");
        fixture.settle().await;
        assert_eq!(fixture.times("/late_at_once"), [before + 5; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_connection_recovers_once_the_fault_is_off() {
        let fixture = Fixture::new(|_, _| (AT_ONCE, 503));
        fixture.project("shop", ProjectSettings::new().faults([Fault::DropConnection]));
        fixture.confirm("shop");
        sleep(Duration::from_secs(2)).await;
        fixture.project("shop", ProjectSettings::new().faults([]));
        fixture.settle().await;
        let received = fixture.receiver.received.lock().unwrap();
        let cut: Vec<_> = received.iter().map(|(.., fault)| *fault).collect();
        let drop = Some(Fault::DropConnection);
        assert_eq!(cut, [drop, drop, None, None]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reset_drops_queued_deliveries_and_those_in_flight() {
        let fixture = Fixture::new(|_, _| (Duration::from_secs(1), 500));
        fixture.project("shop", ProjectSettings::new());
        fixture.confirm("shop");
        sleep(Duration::from_millis(500)).await;
        fixture.backend.with(|state| state.reset());
        fixture.project("shop", ProjectSettings::new());
        fixture.confirm("shop");
        fixture.settle().await;
        assert_eq!(fixture.times("/shop"), [0, 0, 2, 5, 10], "the second one's only");
        assert_eq!(fixture.deliveries().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn unfinished_deliveries_continue_after_a_restart() {
        let fixture = Fixture::new(|_, _| (Duration::from_secs(5), 503));
        fixture.project("shop", ProjectSettings::new());
        fixture.confirm("shop");
        sleep(Duration::from_secs(1)).await;
        let changes: Vec<_> = fixture.backend.with(|state| state.to_changes().collect());

        let restarted = Fixture::new(|_, _| (AT_ONCE, 503));
        restarted.backend.with(|state| {
            changes.into_iter().for_each(|change| state.restore(change));
            state.resume();
        });
        restarted.settle().await;
        assert_eq!(restarted.times("/shop"), [0, 1, 3, 7], "what broke off did not count");
    }
}
