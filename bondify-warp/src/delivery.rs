use std::pin::Pin;

use bondify_core::{
    Event, Reply,
    adapter::{Claim, misconfigured},
};
use warp::{Reply as _, reply::Response};

use crate::{BondifyEvent, BondifyRejection};

/// A delivery that is not yet read and verified.
pub(crate) struct Delivery(Pin<Box<dyn Future<Output = Received> + Send>>);

/// A verified and claimed event, or the answer in its place.
type Received = Result<(Event, Claim), Reply>;

impl Delivery {
    pub(crate) fn new(received: impl Future<Output = Received> + Send + 'static) -> Self {
        Self(Box::pin(received))
    }

    pub(crate) fn without_body() -> Self {
        Self::new(async { Err(misconfigured(WITHOUT_BODY)) })
    }

    /// Receives the delivery, calls `on_event` with the verified event, and settles the delivery by the
    /// status of the response. A client that hangs up does not cancel the handler.
    pub(crate) async fn run<H, F, R>(self, on_event: H) -> Response
    where
        H: FnOnce(BondifyEvent) -> F + Send + 'static,
        F: Future<Output = R> + Send + 'static,
        R: warp::Reply + 'static,
    {
        let handled = self.handle(on_event).await;
        handled.unwrap_or_else(|reply| BondifyRejection(reply).into_response())
    }

    async fn handle<H, F, R>(self, on_event: H) -> Result<Response, Reply>
    where
        H: FnOnce(BondifyEvent) -> F + Send + 'static,
        F: Future<Output = R> + Send + 'static,
        R: warp::Reply + 'static,
    {
        let (event, claim) = self.0.await?;
        let handler = async move || on_event(BondifyEvent(event)).await.into_response();
        claim.run(handler, |response: &Response| response.status().as_u16()).await
    }
}

const WITHOUT_BODY: &str =
    "another filter took the body, or Bondify is applied twice; apply only one of them";
