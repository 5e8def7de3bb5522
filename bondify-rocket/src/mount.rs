use std::{
    fmt,
    io::Cursor,
    mem,
    panic::AssertUnwindSafe,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bondify_core::{Bondify, Reply};
use futures_util::FutureExt;
use rocket::{
    Build, Data, Orbit, Request, Response, Rocket, Route,
    fairing::{self, Fairing, Info, Kind},
    http::Status,
    route::{self, Handler, Outcome},
};

use crate::parked::Parked;

/// Mounts routes that only verified events reach, each until it succeeds once; made by
/// [`BondifyExt::mount`](crate::BondifyExt::mount).
///
/// A delivery is settled by the status of the response as this fairing sees it, which is
/// the final one if no fairing attached later changes it.
#[must_use = "a fairing does nothing until it is attached"]
pub struct BondifyMount {
    bondify: Bondify,
    base: String,
    routes: Mutex<Vec<Route>>,
    drain_timeout: Duration,
}

impl BondifyMount {
    /// How long a shutdown waits for running handlers unless
    /// [`drain_timeout`](Self::drain_timeout) says otherwise: 10 s.
    pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

    pub(crate) fn new(bondify: &Bondify, base: &str, routes: Vec<Route>) -> Self {
        Self {
            bondify: bondify.clone(),
            base: base.to_owned(),
            routes: Mutex::new(routes),
            drain_timeout: Self::DEFAULT_DRAIN_TIMEOUT,
        }
    }

    /// How long a shutdown waits for running handlers. Rocket's own periods of grace and
    /// mercy, which cut connections and no handlers, run at the same time.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    fn guarded(&self, mut route: Route) -> Route {
        let inner = mem::replace(&mut route.handler, Box::new(route::dummy_handler));
        route.handler = Box::new(Guarded { inner, bondify: self.bondify.clone() });
        route
    }
}

impl fmt::Debug for BondifyMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BondifyMount").field("base", &self.base).finish_non_exhaustive()
    }
}

/// In a Rocket's state once something is mounted through Bondify.
pub(crate) struct Mounted;

#[rocket::async_trait]
impl Fairing for BondifyMount {
    fn info(&self) -> Info {
        Info { name: "Bondify", kind: Kind::Ignite | Kind::Response | Kind::Shutdown }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let routes = mem::take(&mut *self.routes.lock().unwrap_or_else(PoisonError::into_inner));
        let routes: Vec<_> = routes.into_iter().map(|route| self.guarded(route)).collect();
        let first = rocket.state::<Mounted>().is_none();
        let rocket = if first { rocket.manage(Mounted) } else { rocket };
        Ok(rocket.mount(self.base.as_str(), routes))
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let parked = Parked::of(request);
        if let Some(reply) = parked.take_reply() {
            write(reply, response);
        }
        if let Some(claim) = parked.take_claim() {
            claim.settle(response.status().code).await;
        }
    }

    async fn on_shutdown(&self, _: &Rocket<Orbit>) {
        if let Err(error) = self.bondify.drain(self.drain_timeout).await {
            rocket::error!("{error}");
        }
    }
}

pub(crate) fn write(reply: Reply, response: &mut Response<'_>) {
    response.set_status(Status::new(reply.status()));
    for &(name, value) in reply.headers() {
        response.set_raw_header(name, value);
    }
    response.set_sized_body(reply.body().len(), Cursor::new(reply.body()));
}

/// A route's handler, mounted through Bondify.
#[derive(Clone)]
struct Guarded {
    inner: Box<dyn Handler>,
    bondify: Bondify,
}

#[rocket::async_trait]
impl Handler for Guarded {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        let parked = Parked::of(request);
        parked.mounted_through(&self.bondify);
        match AssertUnwindSafe(self.inner.handle(request, data)).catch_unwind().await {
            Ok(outcome) => outcome,
            Err(_panic) => {
                if let Some(claim) = parked.take_claim() {
                    claim.panicked().await;
                    parked.answer(Reply::HandlerPanicked);
                }
                Outcome::Error(Status::new(Reply::HandlerPanicked.status()))
            }
        }
    }
}
