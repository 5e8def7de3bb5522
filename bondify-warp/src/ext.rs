use std::convert::Infallible;

use bondify_core::{
    Projects,
    adapter::{Head, Headers, RequestHead},
};
use warp::{
    Filter,
    http::{HeaderMap, Method},
    path::FullPath,
    reply::Response,
};

use crate::{BondifyEvent, Hook};

/// Creates filters that receive through a [`Bondify`](crate::Bondify), or through [`Projects`]. Only these
/// implement it.
///
/// [`webhook`](Self::webhook) is for a handler that takes the event only, [`hook`](Self::hook) for one
/// that takes the values of other filters too. Both always respond and never reject: they need no
/// `recover`, and no later route is tried.
///
/// Put `warp::post()` before them. Without it they take requests of other methods too, answer these with
/// 500 `MISCONFIGURED` and log what to add.
///
/// A client that hangs up does not cancel the handler: it continues in a task of its own, in the
/// request's `tracing` span, but without its task-locals. [`drain`](crate::Bondify::drain) waits for it.
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

impl<B: Clone + Into<Projects> + sealed::Sealed> BondifyExt for B {
    fn webhook<H, F, R>(
        &self,
        on_event: H,
    ) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + use<B, H, F, R>
    where
        H: Fn(BondifyEvent) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: warp::Reply + 'static,
    {
        self.hook().then(move |hook: Hook| hook.run(on_event.clone()))
    }

    fn hook(
        &self,
    ) -> impl Filter<Extract = (Hook,), Error = Infallible> + Clone + Send + Sync + use<B> {
        let projects: Projects = self.clone().into();
        let head = warp::method().and(warp::path::full()).and(warp::header::headers_cloned());
        let unread = head.and(warp::body::stream());
        let receive = move |method, path, headers, body| {
            let (projects, head) = (projects.clone(), WarpHead { method, path, headers });
            Hook::new(async move {
                let bondify = projects.choose(&head).await?;
                bondify.claim(Head::of(&head), body).await
            })
        };
        unread.map(receive).or(warp::any().map(Hook::without_body)).unify()
    }
}

struct WarpHead {
    method: Method,
    path: FullPath,
    headers: HeaderMap,
}

impl Headers for WarpHead {
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
        self.headers.visit(name, visit);
    }
}

impl RequestHead for WarpHead {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        self.path.as_str()
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_core::Bondify {}
    impl Sealed for bondify_core::Projects {}
}
