use std::{
    fmt,
    future::poll_fn,
    mem,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use bondify_core::{Projects, Reply};
use futures_util::FutureExt;
use rocket::{
    Build, Data, Orbit, Request, Response, Rocket, Route,
    fairing::{self, Fairing, Info, Kind},
    http::Status,
    route::{self, Handler, Outcome},
};

use crate::{
    guards::takes_event,
    head::RocketHead,
    reply::{response_to, write},
    request_state::RequestState,
    sentinel::Mounted,
};

/// Mounts routes whose handlers are called with verified events only. An event that was answered with 2xx
/// is not handled again. It is the fairing of [`BondifyExt::mount`](crate::BondifyExt::mount).
///
/// A delivery is settled by the status that this fairing sees. This is the final status, unless a
/// fairing that is attached later changes it.
///
/// ```
/// use std::time::Duration;
///
/// use bondify_rocket::{Bondify, BondifyExt};
/// use rocket::{Build, Rocket, Route};
///
/// fn rocket(bondify: &Bondify, routes: Vec<Route>) -> Rocket<Build> {
///     let mount = bondify.mount("/webhooks", routes).drain_timeout(Duration::from_secs(5));
///     rocket::build().attach(mount)
/// }
/// ```
#[must_use = "a fairing does nothing until it is attached"]
pub struct BondifyMount {
    projects: Projects,
    base: String,
    routes: Mutex<Vec<Route>>,
    drain_timeout: Duration,
}

impl BondifyMount {
    /// The time that a shutdown waits for running handlers, unless
    /// [`drain_timeout`](Self::drain_timeout) sets another: 10 s.
    pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

    pub(crate) fn new(projects: Projects, base: &str, routes: Vec<Route>) -> Self {
        Self {
            projects,
            base: base.to_owned(),
            routes: Mutex::new(routes),
            drain_timeout: Self::DEFAULT_DRAIN_TIMEOUT,
        }
    }

    /// Sets the time that a shutdown waits for running handlers. Rocket's own grace and mercy
    /// periods, which close connections but cancel no handlers, run at the same time.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    fn guarded(&self, mut route: Route) -> Route {
        let inner = mem::replace(&mut route.handler, Box::new(route::dummy_handler));
        route.handler = Box::new(BondifyHandler { inner, projects: self.projects.clone() });
        route
    }
}

impl fmt::Debug for BondifyMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BondifyMount").field("base", &self.base).finish_non_exhaustive()
    }
}

#[rocket::async_trait]
impl Fairing for BondifyMount {
    fn info(&self) -> Info {
        Info { name: "Bondify", kind: Kind::Ignite | Kind::Response | Kind::Shutdown }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let routes = mem::take(&mut *self.routes.lock().unwrap_or_else(PoisonError::into_inner));
        let mut is_refused = false;
        for route in &routes {
            if !takes_event(route).await {
                let Route { name, method, uri, .. } = route;
                let name = name.as_deref().unwrap_or("without a name");
                rocket::error!(
                    "the route {name} ({method} {uri}) takes no BondifyEvent, so it would be called for \
                     requests that nobody signed: add `data = \"<event>\"` and `event: BondifyEvent`, or \
                     mount it by `.mount(..)`"
                );
                is_refused = true;
            }
        }
        if is_refused {
            return Err(rocket);
        }
        let routes: Vec<_> = routes.into_iter().map(|route| self.guarded(route)).collect();
        let first = rocket.state::<Mounted>().is_none();
        let rocket = if first { rocket.manage(Mounted) } else { rocket };
        Ok(rocket.mount(self.base.as_str(), routes))
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let state = RequestState::of(request);
        if let Some(reply) = state.take_reply() {
            write(reply, response);
        }
        if let Some(claim) = state.take_claim() {
            let status = response.status().code;
            let handled = state.handled().filter(|handled| !is_success(*handled));
            if let Some(handled) = handled.filter(|_| is_success(status)) {
                rocket::warn!(
                    "a catcher or a fairing turned a handler's {handled} into {status}: \
                     the event counts as handled and is not delivered again"
                );
            }
            claim.settle(status).await;
        }
    }

    async fn on_shutdown(&self, _: &Rocket<Orbit>) {
        if let Err(error) = self.projects.bondify().drain(self.drain_timeout).await {
            rocket::error!("{error}");
        }
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Runs a route's handler to its end, or until its guard refuses the delivery.
async fn unless_refused<F: Future>(handling: F, state: &RequestState) -> Result<F::Output, Reply> {
    let mut handling = pin!(handling);
    poll_fn(|context| match handling.as_mut().poll(context) {
        Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
        Poll::Pending => state.take_reply().map_or(Poll::Pending, |reply| Poll::Ready(Err(reply))),
    })
    .await
}

fn note_status(outcome: &Outcome<'_>, state: &RequestState) {
    match outcome {
        Outcome::Success(response) => state.set_handled(response.status().code),
        Outcome::Error(status) => state.set_handled(status.code),
        Outcome::Forward(_) => {}
    }
}

/// A route's handler, mounted through Bondify.
#[derive(Clone)]
struct BondifyHandler {
    inner: Box<dyn Handler>,
    projects: Projects,
}

#[rocket::async_trait]
impl Handler for BondifyHandler {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        let state = RequestState::of(request);
        match self.projects.choose(&RocketHead(request)).await {
            Ok(bondify) => state.set_bondify(Some(bondify)),
            Err(reply) => return Outcome::Success(response_to(reply)),
        }
        let handling = AssertUnwindSafe(self.inner.handle(request, data)).catch_unwind();
        let handled = unless_refused(handling, state).await;
        state.set_bondify(None);
        match handled {
            Ok(Ok(outcome)) => {
                note_status(&outcome, state);
                outcome
            }
            Ok(Err(_panic)) => match state.take_claim() {
                Some(claim) => {
                    claim.panicked();
                    Outcome::Success(response_to(Reply::HandlerPanicked))
                }
                None => Outcome::Error(Status::InternalServerError),
            },
            Err(reply) => Outcome::Success(response_to(reply)),
        }
    }
}
