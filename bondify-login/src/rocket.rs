//! Routes for Rocket.

use std::{
    fmt, mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ::rocket::{
    Build, Data, Orbit, Request, Rocket, Route, async_trait,
    data::{self, FromData, ToByteUnit},
    fairing::{self, Fairing, Info, Kind},
    http::{Method, Status},
    response::{Responder, stream::ByteStream},
    route::{self, Handler, Outcome},
};
use bondify_core::adapter::misconfigured;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;

use crate::{Login, SignedIn, adapter};

/// Mounts a [`Login`] in a Rocket. Only `Login` implements this trait.
///
/// ```
/// use bondify_login::{Login, SignedIn, rocket::LoginExt};
/// use rocket::{Build, Rocket, post, response::Redirect, routes};
///
/// fn app(login: &Login) -> Rocket<Build> {
///     rocket::build().attach(login.mount("/login", routes![on_login]))
/// }
///
/// #[post("/finish", data = "<login>")]
/// fn on_login(login: SignedIn) -> Redirect {
///     // Give the browser a new session of this user.
///     Redirect::to(login.return_to)
/// }
/// # fn main() {}
/// ```
pub trait LoginExt: sealed::Sealed {
    /// Returns a fairing that mounts the page at `base`, its events, and your route `/finish`. Your route
    /// is called once for each login, in the browser that began it. Its data is [`SignedIn`]:
    /// `#[post("/finish", data = "<login>")]`.
    ///
    /// The fairing also ends the waiting connections when the shutdown begins.
    fn mount(&self, base: &str, on_login: Vec<Route>) -> LoginMount;
}

impl LoginExt for Login {
    fn mount(&self, base: &str, on_login: Vec<Route>) -> LoginMount {
        let on_login = Mutex::new(on_login);
        LoginMount { login: self.clone(), base: base.to_owned(), on_login }
    }
}

/// The fairing of [`LoginExt::mount`].
#[must_use = "a fairing does nothing until it is attached"]
pub struct LoginMount {
    login: Login,
    base: String,
    on_login: Mutex<Vec<Route>>,
}

impl fmt::Debug for LoginMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginMount").field("base", &self.base).finish_non_exhaustive()
    }
}

#[async_trait]
impl Fairing for LoginMount {
    fn info(&self) -> Info {
        Info { name: "Bondify login", kind: Kind::Ignite | Kind::Shutdown }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let on_login = mem::take(&mut *lock(&self.on_login));
        let finish = on_login.into_iter().map(|mut route| {
            let inner = mem::replace(&mut route.handler, Box::new(route::dummy_handler));
            route.handler = Box::new(Finish { login: self.login.clone(), inner });
            route
        });
        let page = |method, path, endpoint| {
            Route::new(method, path, Page { login: self.login.clone(), endpoint })
        };
        let pages = [
            page(Method::Get, "/", Endpoint::Page),
            page(Method::Post, "/", Endpoint::Begin),
            page(Method::Get, "/events", Endpoint::Events),
        ];
        let routes: Vec<_> = pages.into_iter().chain(finish).collect();
        Ok(rocket.mount(self.base.as_str(), routes))
    }

    async fn on_shutdown(&self, _: &Rocket<Orbit>) {
        self.login.close();
    }
}

#[derive(Clone, Copy)]
enum Endpoint {
    Page,
    Begin,
    Events,
}

/// The handler of the page, its beginning and its events.
#[derive(Clone)]
struct Page {
    login: Login,
    endpoint: Endpoint,
}

#[async_trait]
impl Handler for Page {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        let Self { login, endpoint } = self;
        let answer = match read(request, data).await {
            Ok(form) => match endpoint {
                Endpoint::Page => adapter::page(login, &form).await,
                Endpoint::Begin => adapter::begin(login, &form).await,
                Endpoint::Events => adapter::events(login, &form).await,
            },
            Err(refusal) => refusal,
        };
        respond(request, answer)
    }
}

/// The app's handler. Its data guard, [`SignedIn`], finishes the login.
#[derive(Clone)]
struct Finish {
    login: Login,
    inner: Box<dyn Handler>,
}

/// The result of a finish, kept in the request's local cache.
struct Finishing {
    login: Login,
    result: Mutex<Option<Result<HeaderValue, Answer>>>,
}

type Answer = http::Response<adapter::Body>;

#[async_trait]
impl Handler for Finish {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        let finishing = request.local_cache(|| {
            Some(Finishing { login: self.login.clone(), result: Mutex::new(None) })
        });
        let mut outcome = self.inner.handle(request, data).await;
        let result = finishing.as_ref().and_then(|finishing| lock(&finishing.result).take());
        match (result, &mut outcome) {
            (Some(Err(refusal)), _) => return respond(request, refusal),
            (Some(Ok(set_cookie)), Outcome::Success(response)) => {
                let set_cookie = set_cookie.to_str().unwrap_or_default().to_owned();
                response.adjoin_raw_header("set-cookie", set_cookie);
            }
            _ => {}
        }
        outcome
    }
}

#[async_trait]
impl<'r> FromData<'r> for SignedIn {
    type Error = ();

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> data::Outcome<'r, Self> {
        let Some(finishing) = request.local_cache(|| None::<Finishing>) else {
            let reply = misconfigured("use SignedIn only in the route that `login.mount` gets");
            return data::Outcome::Error((Status::new(reply.status()), ()));
        };
        let finished = match read(request, data).await {
            Ok(form) => adapter::finish(&finishing.login, &form).await,
            Err(refusal) => Err(refusal),
        };
        let (result, outcome) = match finished {
            Ok(finished) => (Ok(finished.set_cookie), data::Outcome::Success(finished.signed_in)),
            Err(refusal) => {
                let status = Status::new(refusal.status().as_u16());
                (Err(refusal), data::Outcome::Error((status, ())))
            }
        };
        *lock(&finishing.result) = Some(result);
        outcome
    }
}

/// Reads the request, whose body is a form.
async fn read(request: &Request<'_>, data: Data<'_>) -> Result<http::Request<Bytes>, Answer> {
    let body = data.open(adapter::MAX_FORM_BYTES.bytes() + 1).into_bytes().await;
    let body = stream::iter([body.map(|body| Bytes::from(body.into_inner()))]);
    let form = adapter::read_form(body).await?;
    let headers: Vec<_> = request.headers().iter().collect();
    let headers = headers.iter().map(|header| (header.name().as_str(), header.value().as_bytes()));
    Ok(adapter::request(&request.uri().to_string(), headers, form))
}

fn respond<'r>(request: &'r Request<'_>, answer: Answer) -> Outcome<'r> {
    let (parts, body) = answer.into_parts();
    let response = match body {
        adapter::Body::Full(bytes) => bytes.to_vec().respond_to(request),
        adapter::Body::Events(events) => ByteStream(events).respond_to(request),
    };
    let mut response = match response {
        Ok(response) => response,
        Err(status) => return Outcome::Error(status),
    };
    response.set_status(Status::new(parts.status.as_u16()));
    for (name, value) in &parts.headers {
        let value = value.to_str().unwrap_or_default().to_owned();
        response.set_raw_header(name.as_str().to_owned(), value);
    }
    Outcome::Success(response)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Login {}
}
