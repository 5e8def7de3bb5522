use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bondify_core::Event;
use tokio::sync::{Semaphore, watch};

use crate::patience::wait_until;

/// What the handler of a server under test does, delivery by delivery.
///
/// The handler of an [`Adapter`](crate::http_suite::Adapter) calls
/// [`handle`](Self::handle) and answers as it is told. Clones share the script.
#[derive(Clone, Debug, Default)]
pub struct Script(Arc<State>);

#[derive(Debug)]
struct State {
    steps: Mutex<VecDeque<Step>>,
    held: Semaphore,
    progress: watch::Sender<Progress>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            steps: Mutex::default(),
            held: Semaphore::new(0),
            progress: watch::Sender::default(),
        }
    }
}

/// How far the handlers got.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Progress {
    /// The events that handlers were called with, in order.
    pub started: Vec<Event>,
    /// How many handlers ran to their end. Those that panicked did not.
    pub finished: usize,
}

/// What a handler does with one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Answers with this status.
    Answer(u16),
    /// Ends with the framework's kind of error, whose status is 500.
    Fail,
    /// Panics.
    Panic,
    /// Waits for [`Script::resume`] before it does the next thing.
    Hold(Box<Step>),
}

impl Step {
    /// Waits for [`Script::resume`], then answers with this status.
    #[must_use]
    pub fn held(status: u16) -> Self {
        Self::Hold(Box::new(Self::Answer(status)))
    }
}

/// The handler shall end with its framework's kind of error.
#[derive(Clone, Copy, Debug)]
pub struct Failure;

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the handler failed as told")
    }
}

impl std::error::Error for Failure {}

impl Script {
    /// What the next handlers do, in order. Those beyond answer 200.
    pub fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.0.steps.lock().unwrap_or_else(PoisonError::into_inner).extend(steps);
    }

    /// Lets `handlers` go on that are, or will be, held.
    pub fn resume(&self, handlers: usize) {
        self.0.held.add_permits(handlers);
    }

    /// For adapters: what their handler does with `event`. A status to answer with, or
    /// a [`Failure`] to turn into an error of the framework's kind.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the script says so.
    ///
    /// # Panics
    ///
    /// If the script says so.
    pub async fn handle(&self, event: &Event) -> Result<u16, Failure> {
        let step = self.0.steps.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let mut step = step.unwrap_or(Step::Answer(200));
        // Only now, or another handler could start upon this and take the step.
        self.0.progress.send_modify(|progress| progress.started.push(event.clone()));
        while let Step::Hold(next) = step {
            self.0.held.acquire().await.expect("is never closed").forget();
            step = *next;
        }
        assert!(step != Step::Panic, "the handler panics as told");
        self.0.progress.send_modify(|progress| progress.finished += 1);
        if let Step::Answer(status) = step { Ok(status) } else { Err(Failure) }
    }

    /// How far the handlers got.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.0.progress.borrow().clone()
    }

    /// Waits until `handlers` were called.
    ///
    /// # Panics
    ///
    /// If that takes half a minute.
    pub async fn started(&self, handlers: usize) {
        wait_until(&self.0.progress, |progress| progress.started.len() >= handlers).await;
    }

    /// Waits until `handlers` ran to their end.
    ///
    /// # Panics
    ///
    /// If that takes half a minute.
    pub async fn finished(&self, handlers: usize) {
        wait_until(&self.0.progress, |progress| progress.finished >= handlers).await;
    }
}
