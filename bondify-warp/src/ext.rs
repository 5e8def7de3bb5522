use std::convert::Infallible;

use bondify_core::{Bondify, adapter};
use warp::{Filter, http::HeaderMap, reply::Response};

use crate::{BondifyEvent, Hook};

/// Makes filters of a [`Bondify`]. Only `Bondify` implements it.
pub trait BondifyExt: sealed::Sealed {
    /// The filter that calls `on_event` with verified events only. An event that was answered
    /// with 2xx is not handled again.
    ///
    /// It comes after the filters of the path and the method. It always responds and never
    /// rejects: it needs no `recover`, and no later route is tried.
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
    /// # #[derive(Clone)] struct Users;
    /// # impl Users { async fn log_in(&self, _id: &str) -> Result<StatusCode, StatusCode> { Ok(StatusCode::OK) } }
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
        let unread = warp::header::headers_cloned().and(warp::body::stream());
        let receive =
            move |headers: HeaderMap, body| Hook::new(adapter::receive(&bondify, &headers, body));
        unread.map(receive).or(warp::any().map(Hook::without_body)).unify()
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_core::Bondify {}
}
