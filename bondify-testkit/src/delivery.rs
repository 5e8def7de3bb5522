use std::{fmt, panic::AssertUnwindSafe};

use bondify_core::{Event, Reply, adapter::Claim};
use futures_util::FutureExt;

/// A verified and claimed event, for tests without a server.
/// [`WebhookRequest::receive_by`](crate::WebhookRequest::receive_by) returns it.
///
/// ```
/// use bondify_core::{Bondify, Reply, Secret};
/// use bondify_testkit::Payload;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let secret = Secret::new("whsec_test")?;
/// let bondify = Bondify::builder(secret.clone()).build()?;
/// let request = Payload::confirmed().signed_with(&secret);
///
/// let delivery = request.receive_by(&bondify).await.unwrap();
/// assert_eq!(delivery.run(async |_event| 500, |&status| status).await, Ok(500));
/// let retry = request.receive_by(&bondify).await.unwrap(); // handled again after the failure
/// assert_eq!(retry.run(async |_event| 204, |&status| status).await, Ok(204));
/// assert_eq!(request.receive_by(&bondify).await.unwrap_err(), Reply::Duplicate);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a delivery releases its event"]
pub struct Delivery {
    event: Event,
    claim: Claim,
}

impl Delivery {
    pub(crate) fn new(event: Event, claim: Claim) -> Self {
        Self { event, claim }
    }

    /// Runs the handler, settles the claim by the `status` of its response, and returns the response. Dropping
    /// the returned future cancels the handler, as a framework does whose handlers cannot be wrapped.
    ///
    /// # Errors
    ///
    /// [`Reply::HandlerPanicked`] if the handler or `status` panics.
    pub async fn run<F: Future>(
        self,
        handler: impl FnOnce(Event) -> F,
        status: impl FnOnce(&F::Output) -> u16,
    ) -> Result<F::Output, Reply> {
        let Self { event, claim } = self;
        let handling = AssertUnwindSafe(async {
            let response = handler(event).await;
            let status = status(&response);
            (response, status)
        });
        match handling.catch_unwind().await {
            Ok((response, status)) => {
                claim.settle(status).await;
                Ok(response)
            }
            Err(_panic) => {
                claim.panicked();
                Err(Reply::HandlerPanicked)
            }
        }
    }

    /// Runs the handler by [`Claim::run`], as adapters do. The handler continues if the returned future is
    /// dropped.
    ///
    /// ```
    /// use bondify_core::{Bondify, Reply, Secret};
    /// use bondify_testkit::Payload;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let secret = Secret::new("whsec_test")?;
    /// let bondify = Bondify::builder(secret.clone()).build()?;
    /// let request = Payload::confirmed().signed_with(&secret);
    ///
    /// // The client disconnects at once.
    /// let delivery = request.receive_by(&bondify).await.unwrap();
    /// drop(delivery.run_to_completion(async |_event| 204, |&status| status));
    /// bondify.idle().await;
    /// assert_eq!(request.receive_by(&bondify).await.unwrap_err(), Reply::Duplicate);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Reply::HandlerPanicked`] if the handler or `status` panics.
    pub fn run_to_completion<F, S>(
        self,
        handler: impl FnOnce(Event) -> F,
        status: S,
    ) -> impl Future<Output = Result<F::Output, Reply>> + Send
    where
        F: Future<Output: Send> + Send + 'static,
        S: FnOnce(&F::Output) -> u16 + Send + 'static,
    {
        let Self { event, claim } = self;
        claim.run(|| handler(event), status)
    }

    /// Returns the event and its claim.
    ///
    /// ```
    /// use bondify_core::{Bondify, Secret};
    /// use bondify_testkit::Payload;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let secret = Secret::new("whsec_test")?;
    /// let bondify = Bondify::builder(secret.clone()).build()?;
    /// let delivery = Payload::confirmed().signed_with(&secret).receive_by(&bondify).await.unwrap();
    /// let (event, claim) = delivery.into_parts();
    /// assert_eq!(event.name(), "auth.confirmed");
    /// drop(claim); // releases the event for a retry
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_parts(self) -> (Event, Claim) {
        (self.event, self.claim)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("event", &self.event).finish_non_exhaustive()
    }
}
