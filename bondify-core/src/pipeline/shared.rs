use std::sync::Arc;

use tokio::sync::watch;

use super::waiting::Waiting;
use crate::{lease::Leases, settings::Settings};

/// The state that all projects of one [`Builder`](crate::Builder) share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    /// `None` if deliveries are not claimed.
    pub(crate) leases: Option<Arc<Leases>>,
    /// Counts the application's background tasks, for `drain`: each holds a receiver.
    pub(crate) tasks: watch::Sender<()>,
    pub(super) waiting: Waiting,
    /// Counts deliveries from their verification to their settlement, for `drain`: each holds a
    /// receiver.
    pub(crate) running: watch::Sender<()>,
    /// `true` once `drain` was called: waiting duplicates are answered at once.
    pub(crate) leaving: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(settings: Settings, leases: Option<Arc<Leases>>) -> Self {
        Self {
            settings,
            leases,
            waiting: Waiting::default(),
            tasks: watch::Sender::new(()),
            running: watch::Sender::new(()),
            leaving: watch::Sender::new(false),
        }
    }
}
