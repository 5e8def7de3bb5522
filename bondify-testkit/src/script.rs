use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bondify_core::Event;
use tokio::sync::{Semaphore, watch};

use crate::deadline::wait_until;

/// The steps of the handler of a server under test, one for each delivery.
///
/// The handler of an [`Adapter`](crate::http_suite::Adapter) calls [`handle`](Self::handle) and answers
/// with its result. Clones share the script.
///
/// ```
/// use bondify_core::Secret;
/// use bondify_testkit::{Payload, Script, Step};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let script = Script::default();
/// script.then([Step::Answer(500), Step::held(204)]);
/// script.resume(1); // the second handler does not wait
///
/// let secret = Secret::new("whsec_test")?;
/// let event = Payload::confirmed().signed_with(&secret).verified_by(&secret)?;
/// assert_eq!(script.handle(&event).await?, 500);
/// assert_eq!(script.handle(&event).await?, 204);
/// assert_eq!(script.progress().finished, 2);
/// # Ok(())
/// # }
/// ```
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

/// The handlers that started and that finished.
///
/// ```
/// use bondify_testkit::Script;
///
/// fn assert_handled_once(script: &Script) {
///     let progress = script.progress();
///     assert_eq!((progress.started.len(), progress.finished), (1, 1), "{progress:?}");
/// }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Progress {
    /// The events of the handlers that started, in order.
    pub started: Vec<Event>,
    /// The number of handlers that ran to their end. Handlers that panicked are not counted.
    pub finished: usize,
    /// The number of handlers that started without an event.
    pub without_event: usize,
}

/// One step of a handler, for one delivery.
///
/// ```
/// use bondify_testkit::{Script, Step};
///
/// async fn two_at_the_same_time(script: &Script) {
///     script.then([Step::held(204), Step::held(204)]);
///     // Send two deliveries.
///     script.started(2).await;
///     script.resume(2);
///     script.finished(2).await;
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Answers with this status.
    Answer(u16),
    /// Returns the framework's error, whose status is 500.
    Fail,
    /// Panics.
    Panic,
    /// Waits for [`Script::resume`] before the next step.
    Hold(Box<Step>),
}

impl Step {
    /// Waits for [`Script::resume`], then answers with this status.
    #[must_use]
    pub fn held(status: u16) -> Self {
        Self::Hold(Box::new(Self::Answer(status)))
    }
}

/// The error of [`Step::Fail`], which a handler turns into its framework's error.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Failure;

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the script makes the handler fail")
    }
}

impl std::error::Error for Failure {}

impl Script {
    /// Adds the steps of the next handlers, in order. A handler without a step answers 200.
    ///
    /// ```
    /// use bondify_testkit::{Script, Step};
    ///
    /// let script = Script::default();
    /// script.then([Step::Answer(500), Step::Panic]); // the third handler answers 200
    /// ```
    pub fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.0.steps.lock().unwrap_or_else(PoisonError::into_inner).extend(steps);
    }

    /// Resumes this number of held handlers, in the order in which they started. If fewer are held, the
    /// next ones are not held.
    pub fn resume(&self, handlers: usize) {
        self.0.held.add_permits(handlers);
    }

    /// Runs the next step with `event`, and returns the status to answer with. The handlers of adapters
    /// call it.
    ///
    /// ```
    /// use bondify_core::Event;
    /// use bondify_testkit::Script;
    ///
    /// /// The handler of a framework's adapter, with the status and text of its response.
    /// async fn on_event(script: Script, event: Event) -> (u16, String) {
    ///     match script.handle(&event).await {
    ///         Ok(status) => (status, String::new()),
    ///         Err(failure) => (500, failure.to_string()), // by the framework's own type of error
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Failure`] on [`Step::Fail`]. The handler then returns an error of its framework.
    ///
    /// # Panics
    ///
    /// On [`Step::Panic`].
    pub async fn handle(&self, event: &Event) -> Result<u16, Failure> {
        let step = self.0.steps.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let mut step = step.unwrap_or(Step::Answer(200));
        // After the step is taken: a test that waits for this may start another handler.
        self.0.progress.send_modify(|progress| progress.started.push(event.clone()));
        while let Step::Hold(next) = step {
            self.0.held.acquire().await.expect("the semaphore is never closed").forget();
            step = *next;
        }
        assert!(step != Step::Panic, "the script makes the handler panic");
        self.0.progress.send_modify(|progress| progress.finished += 1);
        if let Step::Answer(status) = step { Ok(status) } else { Err(Failure) }
    }

    /// Records a handler that takes no event. The handlers of adapters call it for
    /// [`Attached::Reading`](crate::http_suite::Attached::Reading).
    pub fn without_event(&self) {
        self.0.progress.send_modify(|progress| progress.without_event += 1);
    }

    /// Returns the handlers that started and that finished.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.0.progress.borrow().clone()
    }

    /// Waits until this number of handlers have started.
    ///
    /// # Panics
    ///
    /// After half a minute.
    pub async fn started(&self, handlers: usize) {
        wait_until(&self.0.progress, |progress| progress.started.len() >= handlers).await;
    }

    /// Waits until this number of handlers have run to their end.
    ///
    /// # Panics
    ///
    /// After half a minute.
    pub async fn finished(&self, handlers: usize) {
        wait_until(&self.0.progress, |progress| progress.finished >= handlers).await;
    }
}
