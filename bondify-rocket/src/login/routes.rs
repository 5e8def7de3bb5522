use std::{
    fmt,
    io::Cursor,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bondify_core::adapter::misconfigured;
use bondify_login::{Login, adapter};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rocket::{
    Build, Data, Orbit, Request, Rocket, Route, async_trait,
    data::{self, FromData, ToByteUnit},
    fairing::{self, Fairing, Info, Kind},
    http::{Method, Status},
    response::{Response, stream::ReaderStream},
    route::{self, Handler, Outcome},
};

/// Mounts a [`Login`] in a Rocket. Only `Login` implements this trait.
///
/// ```
/// use bondify_rocket::login::{Login, LoginExt, SignedIn};
/// use rocket::{Build, Rocket, post, response::Redirect, routes};
///
/// fn app(login: &Login) -> Rocket<Build> {
///     rocket::build().attach(login.mount("/login", routes![on_login]))
/// }
///
/// #[post("/finish", data = "<login>")]
/// fn on_login(login: SignedIn) -> Redirect {
///     // Give the browser a new session of this user.
///     Redirect::to(login.return_to.clone())
/// }
/// # fn main() {}
/// ```
pub trait LoginExt: sealed::Sealed {
    /// Returns a fairing that mounts the page at `base`, its events, and your route `/finish`. Your route
    /// is called once for each login, in the browser that began it. Its data is [`SignedIn`]:
    /// `#[post("/finish", data = "<login>")]`.
    ///
    /// The fairing also ends the waiting connections when the shutdown begins. It reads your route's whole
    /// response, to send it again to a browser that repeats the request.
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
        Info { name: "Bondify login", kind: Kind::Ignite | Kind::Response | Kind::Shutdown }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let on_login = mem::take(&mut *lock(&self.on_login));
        let finish = on_login.into_iter().map(|mut route| {
            let inner = mem::replace(&mut route.handler, Box::new(route::dummy_handler));
            route.handler = Box::new(OnLogin { login: self.login.clone(), inner });
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

    /// Finishes the login with the final response, which has the cookies of Rocket's jar.
    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let Some(finishing) = Finish::of(request).and_then(|finish| lock(&finish.claimed).take())
        else {
            return;
        };
        let answer = match response.body_mut().to_bytes().await {
            Ok(body) => finishing.answer(answer_of(response, body.into())).await,
            Err(_) => adapter::panicked(),
        };
        *response = response_of(answer.map(adapter::Body::Full));
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
        let answer = match endpoint {
            Endpoint::Page => adapter::page(login, &head_of(request)).await,
            Endpoint::Events => adapter::events(login, &head_of(request)).await,
            Endpoint::Begin => match read(request, data).await {
                Ok(form) => adapter::begin(login, &form).await,
                Err(refusal) => refusal,
            },
        };
        Outcome::Success(response_of(answer))
    }
}

/// The app's handler. Its data guard, [`SignedIn`], claims the login.
#[derive(Clone)]
struct OnLogin {
    login: Login,
    inner: Box<dyn Handler>,
}

#[async_trait]
impl Handler for OnLogin {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        request.local_cache(|| {
            let (claimed, refusal) = (Mutex::new(None), Mutex::new(None));
            Some(Finish { login: self.login.clone(), claimed, refusal })
        });
        let outcome = self.inner.handle(request, data).await;
        let refusal = Finish::of(request).and_then(|finish| lock(&finish.refusal).take());
        refusal.map_or(outcome, |refusal| Outcome::Success(response_of(refusal)))
    }
}

/// The finish of a request, kept in its local cache.
struct Finish {
    login: Login,
    claimed: Mutex<Option<adapter::Finishing>>,
    refusal: Mutex<Option<Answer>>,
}

type Answer = http::Response<adapter::Body>;

impl Finish {
    fn of<'r>(request: &'r Request<'_>) -> Option<&'r Self> {
        request.local_cache(|| None::<Self>).as_ref()
    }
}

adapter::define_signed_in! {
    /// A data guard of the user who has just finished a login in this browser.
    ///
    /// It derefs to [`bondify_login::SignedIn`]. It works in the route of [`LoginExt::mount`] only. Another one
    /// answers 500 and logs what to change.
}

#[async_trait]
impl<'r> FromData<'r> for SignedIn {
    type Error = ();

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> data::Outcome<'r, Self> {
        let Some(finish) = Finish::of(request) else {
            let reply = misconfigured("use SignedIn only in the route that `login.mount` gets");
            return data::Outcome::Error((Status::new(reply.status()), ()));
        };
        let claimed = match read(request, data).await {
            Ok(form) => adapter::finish(&finish.login, &form).await,
            Err(refusal) => Err(refusal),
        };
        match claimed {
            Ok(finishing) => {
                let signed_in = finishing.signed_in().clone();
                *lock(&finish.claimed) = Some(finishing);
                data::Outcome::Success(Self(signed_in))
            }
            Err(refusal) => {
                let status = Status::new(refusal.status().as_u16());
                *lock(&finish.refusal) = Some(refusal);
                data::Outcome::Error((status, ()))
            }
        }
    }
}

/// Reads the request, whose body is a form.
async fn read(request: &Request<'_>, data: Data<'_>) -> Result<http::Request<Bytes>, Answer> {
    let body = data.open(adapter::MAX_FORM_BYTES.bytes() + 1).into_bytes();
    let body = stream::once(async { body.await.map(|body| Bytes::from(body.into_inner())) });
    adapter::read_form(head_of(request), body).await
}

fn head_of(request: &Request<'_>) -> http::Request<Bytes> {
    let headers: Vec<_> = request.headers().iter().collect();
    let headers = headers.iter().map(|header| (header.name().as_str(), header.value().as_bytes()));
    adapter::request(request.method().as_str(), &request.uri().to_string(), headers)
}

/// The app's response, for the sign-in.
fn answer_of(response: &Response<'_>, body: Bytes) -> http::Response<Bytes> {
    let headers: Vec<_> = response.headers().iter().collect();
    let headers = headers.iter().map(|header| (header.name().as_str(), header.value().as_bytes()));
    let mut answer = http::Response::new(body);
    *answer.headers_mut() = adapter::headers(headers);
    *answer.status_mut() = http::StatusCode::from_u16(response.status().code).unwrap_or_default();
    answer
}

fn response_of(answer: Answer) -> Response<'static> {
    let (parts, body) = answer.into_parts();
    let mut response = Response::build();
    response.status(Status::new(parts.status.as_u16()));
    for (name, value) in &parts.headers {
        let value = value.to_str().unwrap_or_default().to_owned();
        response.raw_header_adjoin(name.as_str().to_owned(), value);
    }
    match body {
        adapter::Body::Full(bytes) => response.sized_body(bytes.len(), Cursor::new(bytes)),
        adapter::Body::Events(events) => {
            response.streamed_body(ReaderStream::from(events.map(Cursor::new)))
        }
    };
    response.finalize()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bondify_login::Login {}
}
