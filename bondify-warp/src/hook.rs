use std::{convert::Infallible, fmt, future::Future, pin::Pin};

use bondify_core::{
    Bondify, Event, Reply,
    adapter::{self, Delivery, misconfigured},
};
use bytes::Bytes;
use warp::{Filter, Reply as _, http::HeaderMap, reply::Response};

use crate::BondifyEvent;

/// The filter that has `on_event` handle verified events, each until it succeeds once.
///
/// Goes after the path and the method. It always answers, never with a rejection: no `recover` is needed, and no
/// later route is tried.
///
/// ```
/// use bondify_warp::{Bondify, BondifyEvent, webhook};
/// use warp::{Filter, http::StatusCode};
///
/// async fn on_event(event: BondifyEvent) -> StatusCode {
///     println!("handled {event}");
///     StatusCode::NO_CONTENT
/// }
///
/// fn routes(bondify: &Bondify) -> impl Filter<Extract: warp::Reply, Error = warp::Rejection> {
///     warp::path!("webhooks" / "bondify").and(warp::post()).and(webhook(bondify, on_event))
/// }
/// ```
pub fn webhook<H, F, R>(
    bondify: &Bondify,
    on_event: H,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + use<H, F, R>
where
    H: Fn(BondifyEvent) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: warp::Reply + 'static,
{
    hook(bondify).then(move |hook: Hook| hook.run(on_event.clone()))
}

/// The filter that extracts a [`Hook`], to be combined with others: [`webhook`] for
/// handlers that need more than the event.
///
/// Nothing is claimed before the hook is run, so filters after it may reject.
///
/// ```
/// use bondify_warp::{Bondify, Hook, hook};
/// use warp::{Filter, http::StatusCode};
///
/// # #[derive(Clone)] struct Users;
/// # impl Users { async fn log_in(&self, _id: &str) -> Result<StatusCode, StatusCode> { Ok(StatusCode::OK) } }
/// fn routes(
///     bondify: &Bondify,
///     users: Users,
/// ) -> impl Filter<Extract: warp::Reply, Error = warp::Rejection> {
///     let users = warp::any().map(move || users.clone());
///     warp::path!("webhooks" / "bondify").and(warp::post()).and(hook(bondify)).and(users).then(
///         |hook: Hook, users: Users| {
///             hook.run(async move |event| match &*event {
///                 bondify_warp::Event::Confirmed(login) => {
///                     users.log_in(login.telegram_id().as_str()).await
///                 }
///                 _ => Ok(StatusCode::NO_CONTENT),
///             })
///         },
///     )
/// }
/// ```
pub fn hook(
    bondify: &Bondify,
) -> impl Filter<Extract = (Hook,), Error = Infallible> + Clone + Send + Sync + use<> {
    let bondify = bondify.clone();
    let unread = warp::header::headers_cloned().and(warp::body::stream());
    let receive =
        move |headers: HeaderMap, body| Hook(Box::pin(adapter::receive(&bondify, &headers, body)));
    let read_before = || Hook(Box::pin(async { Err(misconfigured(ADVICE)) }));
    unread.map(receive).or(warp::any().map(read_before)).unify()
}

const ADVICE: &str = "another filter took the body before, or it is applied twice";

/// A delivery that is neither read nor verified yet. All that can be done with it is to
/// run its handler.
#[must_use = "nothing is received until it is run"]
pub struct Hook(Pin<Box<dyn Future<Output = Result<Delivery, Reply>> + Send>>);

impl Hook {
    /// Receives the delivery and, if it is to be handled, has `on_event` do so, which a
    /// client that hangs up cannot stop. Settles by the response's status.
    pub async fn run<H, F, R>(self, on_event: H) -> Response
    where
        H: FnOnce(BondifyEvent) -> F + Send + 'static,
        F: Future<Output = R> + Send + 'static,
        R: warp::Reply + 'static,
    {
        let handler = async move |event: Event| on_event(BondifyEvent(event)).await.into_response();
        let handled = match self.0.await {
            Ok(delivery) => {
                delivery.run_to_completion(handler, |response| response.status().as_u16()).await
            }
            Err(reply) => Err(reply),
        };
        handled.unwrap_or_else(respond)
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").finish_non_exhaustive()
    }
}

pub(crate) fn respond(reply: Reply) -> Response {
    adapter::response::<Bytes>(reply).map(Vec::from).into_response()
}
