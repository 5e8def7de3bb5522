use std::convert::Infallible;

use bondify_core::{
    Projects,
    adapter::{Head, Headers, RequestHead},
};
use warp::{
    Filter, Rejection,
    http::{HeaderMap, Method},
    path::FullPath,
    reply::Response,
};

use crate::{BondifyEvent, delivery::Delivery};

/// Creates filters that receive through a [`Bondify`](crate::Bondify), or through [`Projects`]. Only these
/// implement it.
///
/// [`webhook`](Self::webhook) is for a handler that takes the event only,
/// [`webhook_with`](Self::webhook_with) for one that takes the values of other filters too. Both call the
/// handler with verified events only, and respond to all other deliveries: no later route is tried, and
/// nothing has to `recover`.
///
/// Put `warp::post()` before them. Without it they take requests of other methods too, answer these with
/// 500 `MISCONFIGURED` and log what to add. A filter that takes the body cannot be combined with them; its
/// deliveries are answered in the same way.
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

    /// The filter that calls `on_event` with verified events and the value of `route`: the filters of the
    /// path, the method and all that the handler needs besides the event. Several values are mapped to
    /// one, such as a tuple.
    ///
    /// Nothing is read or claimed if `route` rejects.
    ///
    /// ```
    /// use bondify_warp::{Bondify, BondifyEvent, BondifyExt, Event};
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
    ///         Event::Confirmed(confirmed) => users.log_in(confirmed.user().id().as_str()).await,
    ///         _ => Ok(StatusCode::NO_CONTENT),
    ///     }
    /// }
    ///
    /// fn routes(
    ///     bondify: &Bondify,
    ///     users: Users,
    /// ) -> impl Filter<Extract: warp::Reply, Error = warp::Rejection> {
    ///     let route = warp::path!("webhooks" / "bondify")
    ///         .and(warp::post())
    ///         .and(warp::any().map(move || users.clone()));
    ///     bondify.webhook_with(route, on_event)
    /// }
    /// ```
    fn webhook_with<W, T, H, F, R>(
        &self,
        route: W,
        on_event: H,
    ) -> impl Filter<Extract = (Response,), Error = Rejection>
    + Clone
    + Send
    + Sync
    + use<Self, W, T, H, F, R>
    where
        W: Filter<Extract = (T,), Error = Rejection> + Clone + Send + Sync + 'static,
        T: Send + 'static,
        H: Fn(BondifyEvent, T) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: warp::Reply + 'static;
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
        delivery(self.clone().into()).then(move |delivery: Delivery| delivery.run(on_event.clone()))
    }

    fn webhook_with<W, T, H, F, R>(
        &self,
        route: W,
        on_event: H,
    ) -> impl Filter<Extract = (Response,), Error = Rejection>
    + Clone
    + Send
    + Sync
    + use<B, W, T, H, F, R>
    where
        W: Filter<Extract = (T,), Error = Rejection> + Clone + Send + Sync + 'static,
        T: Send + 'static,
        H: Fn(BondifyEvent, T) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: warp::Reply + 'static,
    {
        route.and(delivery(self.clone().into())).then(move |value, delivery: Delivery| {
            let on_event = on_event.clone();
            delivery.run(move |event| on_event(event, value))
        })
    }
}

fn delivery(
    projects: Projects,
) -> impl Filter<Extract = (Delivery,), Error = Infallible> + Clone + Send + Sync {
    let head = warp::method().and(warp::path::full()).and(warp::header::headers_cloned());
    let unread = head.and(warp::body::stream());
    let receive = move |method, path, headers, body| {
        let (projects, head) = (projects.clone(), WarpHead { method, path, headers });
        Delivery::new(async move {
            let bondify = projects.choose(&head).await?;
            bondify.claim(Head::of(&head), body).await
        })
    };
    unread.map(receive).or(warp::any().map(Delivery::without_body)).unify()
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
