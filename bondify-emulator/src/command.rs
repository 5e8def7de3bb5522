use std::time::SystemTime;

use tokio::time::Instant;

use crate::{Change, DeliveryState, queue::Job};

/// An order to the dispatcher.
#[derive(Debug)]
pub(crate) enum Command {
    Deliver(Job),
    /// Drops all deliveries, also those in flight.
    Clear,
}

impl Command {
    /// The order that a change at `now` leads to, if any.
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
