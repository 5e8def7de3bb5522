use std::convert::Infallible;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response, Sse, sse},
};
use axum_extra::extract::{
    CookieJar,
    cookie::{Cookie, SameSite},
};
use futures_util::{Stream, stream};

use crate::{
    AppState,
    accounts::{Accounts, User},
    logins::{Login, Logins, Outcome},
};

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    user: Option<User>,
}

pub(crate) async fn home(State(app): State<AppState>, jar: CookieJar) -> Response {
    let session = jar.get(Accounts::COOKIE);
    page(&Home { user: session.and_then(|session| app.accounts.of(session.value())) })
}

/// Begins a login, for the browser that asks.
pub(crate) async fn begin(State(app): State<AppState>, jar: CookieJar) -> Response {
    match app.sessions.generate().await {
        Ok(session) => {
            let browser = app.logins.begin(&session);
            (jar.add(cookie(Logins::COOKIE, browser)), Redirect::to("/login")).into_response()
        }
        Err(_) => (StatusCode::BAD_GATEWAY, ended("Telegram cannot be reached")).into_response(),
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct Waiting {
    deeplink: String,
}

pub(crate) async fn wait(State(app): State<AppState>, jar: CookieJar) -> Response {
    match login(&app, &jar) {
        Some((_, login)) => page(&Waiting { deeplink: login.deeplink }),
        None => Redirect::to("/").into_response(),
    }
}

/// One event, when the login has ended.
pub(crate) async fn events(
    State(app): State<AppState>,
    jar: CookieJar,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, StatusCode> {
    let (_, login) = login(&app, &jar).ok_or(StatusCode::NOT_FOUND)?;
    let ended = stream::once(async {
        login.outcome().await;
        Ok(sse::Event::default().event("ended").data("/login/done"))
    });
    Ok(Sse::new(ended).keep_alive(sse::KeepAlive::default()))
}

#[derive(Template)]
#[template(path = "ended.html")]
struct Ended {
    what: &'static str,
}

pub(crate) async fn done(State(app): State<AppState>, jar: CookieJar) -> Response {
    let Some((browser, login)) = login(&app, &jar) else {
        return Redirect::to("/").into_response();
    };
    let Some(outcome) = login.outcome_so_far() else {
        return Redirect::to("/login").into_response();
    };
    app.logins.end(&browser);
    let jar = jar.remove(cookie(Logins::COOKIE, String::new()));
    match outcome {
        Outcome::Confirmed(user) => {
            let session = app.accounts.sign_in(user);
            (jar.add(cookie(Accounts::COOKIE, session)), Redirect::to("/")).into_response()
        }
        Outcome::Cancelled => (jar, ended("You cancelled the login")).into_response(),
        Outcome::Expired => (jar, ended("The login has expired")).into_response(),
    }
}

pub(crate) async fn sign_out(State(app): State<AppState>, jar: CookieJar) -> Response {
    if let Some(session) = jar.get(Accounts::COOKIE) {
        app.accounts.sign_out(session.value());
    }
    (jar.remove(cookie(Accounts::COOKIE, String::new())), Redirect::to("/")).into_response()
}

pub(crate) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css")], include_str!("../assets/style.css"))
}

pub(crate) async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript")], include_str!("../assets/login.js"))
}

fn login(app: &AppState, jar: &CookieJar) -> Option<(String, Login)> {
    let browser = jar.get(Logins::COOKIE)?.value();
    Some((browser.to_owned(), app.logins.of(browser)?))
}

fn ended(what: &'static str) -> Response {
    page(&Ended { what })
}

/// Not for scripts, and not along with requests that other sites make. Behind TLS, a real
/// app adds `Secure`.
fn cookie(name: &'static str, value: String) -> Cookie<'static> {
    Cookie::build((name, value)).http_only(true).same_site(SameSite::Lax).path("/").build()
}

const HEADERS: [(HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
];

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (HEADERS, Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
