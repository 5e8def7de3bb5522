use std::{convert::Infallible, future::ready};

use bondify_core::{Bondify, Reply, adapter};
use warp::{
    Filter, Rejection,
    http::{HeaderMap, Method},
    reply::Response,
};

use crate::{BondifyEvent, Hook};

/// Creates filters that receive through a [`Bondify`]. Only `Bondify` implements it.
///
/// [`webhook`](Self::webhook) is for a handler that takes the event only, [`hook`](Self::hook) for one
/// that takes the values of other filters too. Both always respond and never reject: they need no
/// `recover`, and no later route is tried.
///
/// Put `warp::post()` before them. Without it they take requests of other methods too, answer these with
/// 500 `MISCONFIGURED` and log what to add.
///
/// A client that hangs up does not cancel the handler: it continues in a task of its own, in the
/// request's `tracing` span, but without its task-locals. [`Bondify::drain`] waits for it.
pub trait BondifyExt: sealed::Sealed {
    /// The filter that calls `on_event` with verified events only. An event that was answered
    /// with 2xx is not handled again.
    ///
    /// It comes after the filters of the path and the method.
    ///
    /// ```
    /// use bondify_warp::{Bondify, BondifyEvent, BondifyExt};
    /// use warp::{Filter, http::StatusCode};
    ///
    /// async fn on_event(event: BondifyEvent) -> StatusCode {
    ///     println!("handled {event}");
    ///     StatusCode::NO_CONTENT
    /// }
    ///
    /// fn routes(bondify: &Bondify) -> impl Filter<Extract: warp::Reply, Error = warp::Rejection> {
    ///     warp::path!("webhooks" / "bondify").and(warp::post()).and(bondify.webhook(on_event))
    /// }
    /// ```
    fn webhook<H, F, R>(
        &self,
        on_event: H,
    ) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + use<Self, H, F, R>
    where
        H: Fn(BondifyEvent) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: warp::Reply + 'static;

    /// The filter that extracts a [`Hook`], for a handler that needs more than the event.
    ///
    /// It combines with all filters but those that take the body. Nothing is claimed before the
    /// hook is run, so a later filter may reject.
    ///
    /// ```
    /// use bondify_warp::{Bondify, BondifyEvent, BondifyExt, Event, Hook};
    /// use warp::{Filter, http::StatusCode};
    ///
    /// #[derive(Clone)]
    /// struct Users; // your database
    ///
    /// impl Users {
    ///     async fn log_in(&self, _id: &str) -> Result<StatusCode, StatusCode> {
    ///         Ok(StatusCode::NO_CONTENT)
    ///     }
    /// }
    ///
    /// async fn on_event(
    ///     BondifyEvent(event): BondifyEvent,
    ///     users: Users,
    /// ) -> Result<StatusCode, StatusCode> {
    ///     match event {
    ///         Event::Confirmed(login) => users.log_in(login.user().id().as_str()).await,
    ///         _ => Ok(StatusCode::NO_CONTENT),
    ///     }
    /// }
    ///
    /// fn routes(
    ///     bondify: &Bondify,
    ///     users: Users,
    /// ) -> impl Filter<Extract: warp::Reply, Error = warp::Rejection> {
    ///     warp::path!("webhooks" / "bondify")
    ///         .and(warp::post())
    ///         .and(bondify.hook())
    ///         .and(warp::any().map(move || users.clone()))
    ///         .then(|hook: Hook, users| hook.run(|event| on_event(event, users)))
    /// }
    /// ```
    fn hook(
        &self,
    ) -> impl Filter<Extract = (Hook,), Error = Infallible> + Clone + Send + Sync + use<Self>;
}

impl BondifyExt for Bondify {
    fn webhook<H, F, R>(
        &self,
        on_event: H,
    ) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + use<H, F, R>
    where
        H: Fn(BondifyEvent) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: warp::Reply + 'static,
    {
        self.hook().then(move |hook: Hook| hook.run(on_event.clone()))
    }

    fn hook(
        &self,
    ) -> impl Filter<Extract = (Hook,), Error = Infallible> + Clone + Send + Sync + use<> {
        let bondify = self.clone();
        let request = warp::method().and(warp::header::headers_cloned());
        let unread = request.and(warp::body::stream());
        let receive = move |method, headers: HeaderMap, body| match method {
            Method::POST => Hook::new(adapter::receive(&bondify, &headers, body)),
            _ => Hook::misconfigured(NOT_A_POST),
        };
        unread.map(receive).or(warp::any().map(|| Hook::misconfigured(WITHOUT_BODY))).unify()
    }
}

/// Extracts a [`Hook`] for a server of several projects. Each request is received through the
/// [`Bondify`] that the filter `project` extracts. The body is not read before.
///
/// `project` matches the path and the method, finds the project's secret, for instance in a
/// database, and extracts [`Bondify::for_project`], or an error such as
/// [`Reply::ProjectNotFound`], which is answered with 404. [`drain`](Bondify::drain) of the one
/// `Bondify` covers all projects that are derived from it.
///
/// ```
/// use bondify_warp::{
///     Bondify, BondifyEvent, Hook, Secret, bondify_core::Reply, hook_for_projects,
/// };
/// use warp::{Filter, http::StatusCode};
///
/// async fn secret_of(_project: &str) -> Option<Secret> {
///     None // from a database
/// }
///
/// async fn project(id: String, bondify: Bondify) -> Result<Bondify, Reply> {
///     let secret = secret_of(&id).await.ok_or(Reply::ProjectNotFound)?;
///     Ok(bondify.for_project(id, secret, []))
/// }
///
/// async fn on_event(event: BondifyEvent) -> StatusCode {
///     println!("handled {event}");
///     StatusCode::NO_CONTENT
/// }
///
/// fn routes(bondify: Bondify) -> impl Filter<Extract: warp::Reply, Error = warp::Rejection> {
///     let project = warp::path!("webhooks" / String)
///         .and(warp::post())
///         .then(move |id| project(id, bondify.clone()));
///     hook_for_projects(project).then(|hook: Hook| hook.run(on_event))
/// }
/// ```
pub fn hook_for_projects<P>(
    project: P,
) -> impl Filter<Extract = (Hook,), Error = Rejection> + Clone + Send + Sync
where
    P: Filter<Extract = (Result<Bondify, Reply>,), Error = Rejection>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let request = warp::header::headers_cloned().and(warp::body::stream());
    let unread = request.map(|headers, body| Some((headers, body))).or(warp::any().map(|| None));
    project.and(unread.unify()).map(|chosen, unread: Option<(HeaderMap, _)>| match unread {
        Some((headers, body)) => Hook::new(async move {
            let bondify = adapter::choose(ready(chosen)).await?;
            adapter::receive(&bondify, &headers, body).await
        }),
        None => Hook::misconfigured(WITHOUT_BODY),
    })
}

const NOT_A_POST: &str = "the filter got a request with a method other than POST; put the filters of \
    the path and `warp::post()` before it";
const WITHOUT_BODY: &str =
    "another filter took the body, or Bondify is applied twice; apply only one of them";

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_core::Bondify {}
}
