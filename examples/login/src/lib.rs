//! The web app: a home page, a sign-in with Telegram, and the users in a database.

mod users;

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Redirect},
    routing::{get, post},
};
use bondify_axum::{
    Bondify, BondifyEvent, BondifyExt,
    bondify_core::adapter::visit_cookies,
    login::{Login, LoginExt, SignedIn},
};

use crate::users::User;
pub use crate::users::Users;

/// The app. Its webhook, `/webhooks/bondify`, is optional: it only saves users the wait for the
/// next poll.
pub fn app(login: &Login, bondify: &Bondify, users: Users) -> Router {
    let login_of_webhook = login.clone();
    let on_event = async move |BondifyEvent(event): BondifyEvent| {
        login_of_webhook.notify(&event);
        StatusCode::NO_CONTENT
    };
    Router::new()
        .merge(login.routes("/login", on_login))
        .route("/", get(home))
        .route("/logout", post(sign_out))
        .route("/style.css", get(style))
        .route("/webhooks/bondify", bondify.post(on_event))
        .with_state(users)
}

/// Gives the browser a new session, once for each login.
async fn on_login(
    login: SignedIn,
    State(users): State<Users>,
) -> Result<impl IntoResponse, StatusCode> {
    let session = users.sign_in(&login.user).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(([(header::SET_COOKIE, cookie(&session))], Redirect::to(&login.return_to)))
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    user: Option<User>,
}

async fn home(
    State(users): State<Users>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, StatusCode> {
    let user = match session(&headers) {
        Some(session) => users.of(&session).await,
        None => Ok(None),
    };
    let user = user.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let html = Home { user }.render().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    let headers = [(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Html(html)))
}

async fn sign_out(
    State(users): State<Users>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, StatusCode> {
    if let Some(session) = session(&headers) {
        users.sign_out(&session).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    }
    let removal = cookie("") + "; Max-Age=0";
    Ok(([(header::SET_COOKIE, removal)], Redirect::to("/")))
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css")], include_str!("../assets/style.css"))
}

/// The session of the browser. The cookies are read as bytes, since one that another application has set may
/// be in any encoding.
fn session(headers: &HeaderMap) -> Option<String> {
    let mut session = None;
    visit_cookies(headers, &mut |name, value| {
        if name == b"session" && session.is_none() {
            session = String::from_utf8(value.to_vec()).ok();
        }
    });
    session
}

/// Behind TLS, add `Secure` and the prefix `__Host-`.
fn cookie(session: &str) -> String {
    format!("session={session}; HttpOnly; SameSite=Lax; Path=/")
}
