use std::{fmt, pin::Pin};

use bondify_core::{
    Event, Reply,
    adapter::{Delivery, misconfigured},
};
use warp::{Reply as _, reply::Response};

use crate::{BondifyEvent, BondifyRejection};

/// A delivery that is not yet read and verified. All it offers is to run its handler.
#[must_use = "nothing is received until it is run"]
pub struct Hook(Pin<Box<dyn Future<Output = Result<Delivery, Reply>> + Send>>);

impl Hook {
    pub(crate) fn new(
        received: impl Future<Output = Result<Delivery, Reply>> + Send + 'static,
    ) -> Self {
        Self(Box::pin(received))
    }

    pub(crate) fn misconfigured(advice: &'static str) -> Self {
        Self::new(async { Err(misconfigured(advice)) })
    }

    /// Receives the delivery and calls `on_event` with a verified event; settles it by the status
    /// of the response. A client that hangs up does not cancel the handler.
    pub async fn run<H, F, R>(self, on_event: H) -> Response
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
        let handler = async move |event: Event| on_event(BondifyEvent(event)).await.into_response();
        let delivery = self.0.await?;
        delivery.run_to_completion(handler, |response| response.status().as_u16()).await
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").finish_non_exhaustive()
    }
}
