//! The server of the single-page app: four files, the sign-in, and the user as JSON.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, header},
    response::{Html, IntoResponse},
    routing::get,
};
use bondify_axum::{
    TelegramUser,
    bondify_core::adapter::visit_cookies,
    login::{Login, LoginExt, SignedIn},
};
use serde_json::{Value, json};

/// The users by session. A real app has a database.
type Sessions = Arc<Mutex<HashMap<String, TelegramUser>>>;

/// The app.
pub fn app(login: &Login) -> Router {
    Router::new()
        .merge(login.routes("/login", on_login))
        .route("/me", get(me).delete(sign_out))
        .route("/", get(page))
        .route("/app.js", get(script))
        .route("/follow.js", get(follow))
        .route("/style.css", get(style))
        .with_state(Sessions::default())
}

/// Gives the browser a new session, and the app the user.
async fn on_login(login: SignedIn, State(sessions): State<Sessions>) -> impl IntoResponse {
    let [a, b] = [(); 2].map(|()| getrandom::u64().expect("the system has randomness"));
    let session = format!("{a:016x}{b:016x}");
    let user = as_json(&login.user);
    let set_cookie = cookie(&session);
    lock(&sessions).insert(session, login.user.clone());
    ([(header::SET_COOKIE, set_cookie)], user)
}

/// The user who is signed in, or `null`.
async fn me(State(sessions): State<Sessions>, headers: HeaderMap) -> Json<Value> {
    let user = session(&headers).and_then(|it| lock(&sessions).get(&it).map(as_json));
    user.unwrap_or_default()
}

async fn sign_out(State(sessions): State<Sessions>, headers: HeaderMap) -> impl IntoResponse {
    if let Some(session) = session(&headers) {
        lock(&sessions).remove(&session);
    }
    ([(header::SET_COOKIE, cookie("") + "; Max-Age=0")], Json(Value::Null))
}

fn as_json(user: &TelegramUser) -> Json<Value> {
    Json(json!({"id": user.id().as_str(), "name": user.name(), "username": user.username()}))
}

fn lock(sessions: &Sessions) -> std::sync::MutexGuard<'_, HashMap<String, TelegramUser>> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
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

async fn page() -> impl IntoResponse {
    const POLICY: &str = "default-src 'self'; img-src 'self' data:; base-uri 'none'; \
        form-action 'self'; frame-ancestors 'none'";
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, Html(include_str!("../assets/index.html")))
}

async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript")], include_str!("../assets/app.js"))
}

/// The part of the login page's script that waits for the decision. Copy it into your app.
async fn follow() -> impl IntoResponse {
    const FOLLOW: &str = include_str!("../../../bondify-login/assets/follow.js");
    ([(header::CONTENT_TYPE, "text/javascript")], FOLLOW)
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css")], include_str!("../../login/assets/style.css"))
}
