use std::{sync::Arc, time::SystemTime};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    Attempt, Change, DeliveryId, DeliveryState,
    backend::Backend,
    queue::{Job, Limits, Queue},
    transport::Transport,
};

/// Takes deliveries to where they go, each in its time and turn.
pub(crate) struct Courier<T> {
    backend: Arc<Backend>,
    transport: Arc<T>,
    orders: mpsc::UnboundedReceiver<Order>,
    queue: Queue,
    under_way: JoinSet<DeliveryId>,
}

/// What the courier is told.
#[derive(Debug)]
pub(crate) enum Order {
    Deliver(Job),
    /// Drop everything.
    Clear,
}

impl Order {
    /// What a change at `now` means for the courier.
    pub(crate) fn of(change: &Change, now: SystemTime) -> Option<Self> {
        match change {
            Change::Reset => Some(Self::Clear),
            Change::Delivery(delivery) => {
                let DeliveryState::Queued { due } = delivery.state else { return None };
                Some(Self::Deliver(Job {
                    id: delivery.id,
                    project_id: delivery.project_id.clone(),
                    priority: delivery.priority,
                    due: Instant::now() + due.duration_since(now).unwrap_or_default(),
                }))
            }
            _ => None,
        }
    }
}

impl<T: Transport> Courier<T> {
    pub(crate) fn new(
        backend: Arc<Backend>,
        transport: T,
        orders: mpsc::UnboundedReceiver<Order>,
        limits: Limits,
    ) -> Self {
        let (transport, queue) = (Arc::new(transport), Queue::new(limits));
        Self { backend, transport, orders, queue, under_way: JoinSet::new() }
    }

    /// Works until nobody can give orders any more.
    pub(crate) async fn run(mut self) {
        loop {
            while let Some(id) = self.queue.pop(Instant::now()) {
                let attempt = attempt(Arc::clone(&self.backend), Arc::clone(&self.transport), id);
                self.under_way.spawn(attempt);
            }
            let next = self.queue.next(Instant::now());
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Deliver(job)) => self.queue.push(job),
                    Some(Order::Clear) => {
                        self.queue.clear();
                        self.under_way = JoinSet::new();
                    }
                    None => return,
                },
                Some(Ok(id)) = self.under_way.join_next() => self.queue.done(id),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }
}

async fn attempt(
    backend: Arc<Backend>,
    transport: Arc<impl Transport>,
    id: DeliveryId,
) -> DeliveryId {
    let begun = backend.with(|state, now| state.begin_attempt(id).map(|parcel| (parcel, now)));
    let Some((parcel, started_at)) = begun else { return id };
    let started = Instant::now();
    let (request_headers, outcome) = transport.send(parcel).await;
    let duration = started.elapsed();
    tracing::debug!(delivery = %id, ?outcome, ?duration, "attempt ended");
    let attempt = Attempt { started_at, duration, request_headers, outcome };
    backend.with(|state, now| state.end_attempt(id, attempt, now));
    id
}
