//! The path of an event: it is read and verified, claimed, handled and settled.

use std::{error::Error, sync::Arc};

use bytes::Buf;
use futures_util::{Stream, TryFutureExt};
use tracing::Instrument;

use crate::{
    Bondify, Event, Reply, StoreError, body,
    bondify::Project,
    deadlines::Deadlines,
    head::Head,
    lease::{Holder, Lease, NotClaimed},
    limits::DELIVERY_TIMEOUT,
    pipeline::{Claim, Claiming},
    reply::misconfigured,
    settings::Settings,
    telemetry::{self, Record},
};

/// For adapters of web frameworks, see [`adapter`](crate::adapter).
impl Bondify {
    /// Receives a request: reads its body, verifies it, claims the event, calls `handler`, and settles the
    /// claim by the `status` of the response, which is returned.
    ///
    /// A client that hangs up before the handler starts leaves nothing claimed. After that, the handler
    /// continues in a task of its own and is settled.
    ///
    /// # Errors
    ///
    /// The [`Reply`] to send instead of a response: those of [`claim`](Self::claim), and
    /// [`Reply::HandlerPanicked`] if the handler or `status` panics.
    pub fn serve<B, C, E, H, F, S>(
        &self,
        head: Head,
        body: B,
        handler: H,
        status: S,
    ) -> impl Future<Output = Result<F::Output, Reply>> + use<B, C, E, H, F, S>
    where
        B: Stream<Item = Result<C, E>>,
        C: Buf,
        E: Into<Box<dyn Error + Send + Sync>>,
        H: FnOnce(Event) -> F,
        F: Future<Output: Send> + Send + 'static,
        S: FnOnce(&F::Output) -> u16 + Send + 'static,
    {
        self.claim(head, body).and_then(move |(event, claim)| claim.run(|| handler(event), status))
    }

    /// Takes every step before the handler: reads the body, verifies it, and claims the event. While another
    /// delivery of the event is being handled, it waits.
    ///
    /// The returned future borrows nothing. Dropping it leaves nothing claimed.
    ///
    /// # Errors
    ///
    /// The [`Reply`] to send instead of running the handler:
    ///
    /// - [`Misconfigured`](Reply::Misconfigured) if the request is not a `POST`, or if Bondify is attached to
    ///   its route twice;
    /// - [`UnsupportedMediaType`](Reply::UnsupportedMediaType), [`PayloadTooLarge`](Reply::PayloadTooLarge)
    ///   or [`UnreadableBody`](Reply::UnreadableBody) if the body is not JSON, is over the limit, or does not
    ///   arrive;
    /// - [`MissingSignature`](Reply::MissingSignature), [`InvalidSignature`](Reply::InvalidSignature),
    ///   [`ParseError`](Reply::ParseError) or [`StaleEvent`](Reply::StaleEvent) if it does not verify;
    /// - [`Duplicate`](Reply::Duplicate) if the event was handled before, [`InFlight`](Reply::InFlight) if it
    ///   is still being handled after the wait;
    /// - [`StoreUnavailable`](Reply::StoreUnavailable) if the dedupe store does not answer.
    pub fn claim<B, C, E>(
        &self,
        head: Head,
        body: B,
    ) -> impl Future<Output = Result<(Event, Claim), Reply>> + use<B, C, E>
    where
        B: Stream<Item = Result<C, E>>,
        C: Buf,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let bondify = self.clone();
        // Not an `async fn`, which would hold its arguments twice.
        async move {
            if let Some(advice) = head.mistake {
                return Err(misconfigured(advice));
            }
            let mut record = Record::start(telemetry::WEBHOOK);
            let Settings { wait, body_limit, .. } = bondify.project.shared.settings;
            let body = body::read(body, body_limit).instrument(record.span.clone()).await;
            let verify = || -> Result<Event, Reply> {
                head.media_type?;
                Ok(bondify.project.verifier.check(body?, &head.signature?)?)
            };
            let event = record.span.in_scope(verify).map_err(|reply| record.refused(reply))?;
            let deadlines = Deadlines::new(record.started, wait, Some(DELIVERY_TIMEOUT));
            match bondify.hold(&event, &mut record, deadlines).await {
                Ok((lease, holder)) => Ok((event, Claim { lease, record, holder })),
                Err(reason) => Err(Reply::from(&reason)),
            }
        }
    }
}

impl Bondify {
    /// Handles an event that did not arrive by webhook, exactly as a webhook is handled. The event takes
    /// effect once, whichever way it arrives first.
    ///
    /// A login can arrive by webhook, by a poll, in a proof, in the developer API's list of sessions, and
    /// from your own queue. The [`Event`] has the same [`key`](Event::key) each time. Its
    /// documentation lists how to get one.
    ///
    /// ```
    /// use std::{error::Error, io};
    ///
    /// use bondify_core::{Bondify, Event, Handled};
    ///
    /// async fn on_poll(bondify: &Bondify, event: Event) -> Result<(), Box<dyn Error>> {
    ///     match bondify.handle(event, async move |event| sign_in(event).await).await? {
    ///         Handled::Now(account) => println!("signed in to account {account}"),
    ///         Handled::Duplicate => println!("signed in before"),
    ///     }
    ///     Ok(())
    /// }
    ///
    /// async fn sign_in(event: Event) -> Result<u64, io::Error> {
    ///     println!("{event}"); // for instance an insert into a table of users
    ///     Ok(1)
    /// }
    /// ```
    ///
    /// The event is claimed under the key of its webhook. While another handler of it runs, in
    /// this process or another that shares the store, this waits for up to the
    /// [`wait`](crate::Builder::wait) of a delivery. The lease is renewed while the handler runs.
    /// `Ok` completes the event for good. After `Err` or a panic the next delivery or call handles it
    /// again.
    ///
    /// A completion that the store does not take in time is tried again after this has returned.
    /// A process that ends after its last call, such as a scheduled job, has to call
    /// [`drain`](Self::drain) first; otherwise a later delivery may reach a handler again.
    ///
    /// Dropping the returned future before the handler starts leaves nothing claimed. A handler
    /// that has started runs to completion, on the tokio runtime that the future is dropped on.
    ///
    /// With [`verify_only`](crate::Builder::verify_only) nothing is claimed: the handler runs in every
    /// call, as it does for every delivery.
    ///
    /// # Errors
    ///
    /// - [`HandleError::Stale`] if the event is outside the [`tolerance`](crate::Builder::tolerance).
    /// - [`HandleError::InFlight`] if another handler of the event is still running after the wait, or
    ///   [`drain`](Self::drain) was called meanwhile.
    /// - [`HandleError::StoreUnavailable`] if the store does not answer, unless
    ///   [`fail_open`](crate::Builder::fail_open) is set.
    /// - [`HandleError::Handler`] with the handler's error, and [`HandleError::Panicked`] if it panicked.
    pub async fn handle<T, E, F>(
        &self,
        event: Event,
        handler: impl FnOnce(Event) -> F,
    ) -> Result<Handled<T>, HandleError<E>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let mut record = Record::start(telemetry::HANDLE);
        if self.project.verifier.check_age(&event).is_err() {
            record.verified(&event);
            record.refused(Reply::StaleEvent);
            return Err(HandleError::Stale);
        }
        let wait = self.project.shared.settings.wait;
        let deadlines = Deadlines::new(record.started, wait, None);
        let claim = match self.hold(&event, &mut record, deadlines).await {
            Ok((lease, holder)) => Claim { lease, record, holder },
            Err(NotClaimed::Completed) => return Ok(Handled::Duplicate),
            Err(NotClaimed::InFlight) => return Err(HandleError::InFlight),
            Err(NotClaimed::StoreUnavailable(error)) => {
                return Err(HandleError::StoreUnavailable(error));
            }
        };
        let status = |handled: &Result<T, E>| if handled.is_ok() { 200 } else { 500 };
        match claim.run(|| handler(event), status).await {
            Ok(Ok(value)) => Ok(Handled::Now(value)),
            Ok(Err(error)) => Err(HandleError::Handler(error)),
            Err(_panicked) => Err(HandleError::Panicked),
        }
    }
}

/// The claim of a verified event, whether it arrived by webhook or by a call of `handle`.
impl Bondify {
    /// Claims an event, and waits while another claim of it is held.
    fn hold(
        &self,
        event: &Event,
        record: &mut Record,
        deadlines: Deadlines,
    ) -> impl Future<Output = Result<(Option<Lease>, Arc<Holder>), NotClaimed>> {
        record.verified(event);
        let (span, _running) = (record.span.clone(), self.project.shared.running.subscribe());
        let holder = Arc::new(Holder { span, deadlines, _running });
        async move {
            let lease = self.lease(event, &holder).instrument(record.span.clone()).await;
            let lease = lease.inspect(|_| record.handling());
            let lease = lease.inspect_err(|reason| _ = record.refused(reason.into()))?;
            Ok((lease, holder))
        }
    }

    /// The lease of an event. `None` if it is to be handled without one.
    async fn lease(
        &self,
        event: &Event,
        holder: &Arc<Holder>,
    ) -> Result<Option<Lease>, NotClaimed> {
        let Project { namespaces, shared, .. } = &*self.project;
        let Some(leases) = &shared.leases else { return Ok(None) };
        let key = namespaces.iter().fold(event.key(), |key, namespace| key.within(namespace));
        match (Claiming { shared, leases, key, holder }).lease().await {
            Err(NotClaimed::StoreUnavailable(error)) => {
                let (fail_open, source) = (shared.settings.fail_open, &error as &dyn Error);
                tracing::error!(error = source, fail_open, "the dedupe store failed");
                if fail_open { Ok(None) } else { Err(error.into()) }
            }
            claimed => claimed.map(Some),
        }
    }
}

impl From<&NotClaimed> for Reply {
    fn from(reason: &NotClaimed) -> Self {
        match reason {
            NotClaimed::Completed => Self::Duplicate,
            NotClaimed::InFlight => Self::InFlight,
            NotClaimed::StoreUnavailable(_) => Self::StoreUnavailable,
        }
    }
}

/// The result of [`Bondify::handle`](crate::Bondify::handle).
///
/// ```
/// use bondify_core::Handled;
///
/// fn text(handled: Handled<u64>) -> String {
///     match handled {
///         Handled::Now(account) => format!("signed in to account {account}"),
///         Handled::Duplicate => "signed in before".to_owned(),
///     }
/// }
/// ```
#[expect(clippy::exhaustive_enums, reason = "an event was handled before, or it was not")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled<T> {
    /// The handler ran and succeeded. This is its value.
    Now(T),
    /// The event was handled before, by a webhook, a poll or another instance. The handler did
    /// not run.
    Duplicate,
}

/// The error of [`Bondify::handle`](crate::Bondify::handle). The event is not completed.
///
/// It implements [`Error`](std::error::Error) if the handler's error implements `Display`. So do
/// `Box<dyn Error + Send + Sync>` and `anyhow::Error`, which do not implement `Error` themselves.
///
/// ```
/// use std::io;
///
/// use bondify_core::HandleError;
///
/// /// Whether the same call may succeed later.
/// fn is_temporary(error: &HandleError<io::Error>) -> bool {
///     match error {
///         HandleError::InFlight | HandleError::StoreUnavailable(_) => true,
///         HandleError::Handler(error) => error.kind() == io::ErrorKind::ConnectionRefused,
///         _ => false,
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandleError<E> {
    /// Another handler of the event is still running after the wait, or the process is draining.
    #[error("the event is being handled elsewhere; handle it again later")]
    InFlight,
    /// The dedupe store could not answer.
    #[error("the dedupe store is unavailable; handle the event again later")]
    StoreUnavailable(#[source] StoreError),
    /// The event is older than the tolerance, or too far in the future. The store may have forgotten
    /// that it was handled.
    #[error(
        "the event is older than the tolerance or too far in the future: the store may have forgotten \
         that it was handled"
    )]
    Stale,
    /// The handler panicked.
    #[error("the handler panicked")]
    Panicked,
    /// The handler returned an error. It is displayed as `{:#}`, with which `anyhow::Error` writes its causes.
    #[error("the handler failed: {0:#}")]
    Handler(E),
}
