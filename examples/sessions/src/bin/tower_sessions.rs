//! Sessions by `tower-sessions`, on axum: `cargo run -p example-sessions --bin tower_sessions`.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use bondify_axum::login::{LoginExt, SignedIn};
use shop::{Page, User, Users, port, start};
use tokio::net::TcpListener;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port()?)).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let (login, users) = start(&origin).await?;
    let app = Router::new()
        .route("/", get(home))
        .route("/account", get(account))
        .route("/logout", post(sign_out))
        .route("/logout/everywhere", post(sign_out_everywhere))
        .merge(login.routes("/login", on_login))
        .merge(login.routes("/link", on_link))
        // Another store keeps sessions over a restart. Behind TLS leave out `with_secure`.
        .layer(SessionManagerLayer::new(MemoryStore::default()).with_secure(false))
        .with_state(users);
    println!("sign in on {origin}");
    Ok(axum::serve(listener, app).await?)
}

type Result<T> = std::result::Result<T, StatusCode>;

fn unavailable(_: impl std::error::Error) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

/// Called once for each login at `/login`, in the browser that began it.
async fn on_login(
    login: SignedIn,
    State(users): State<Users>,
    session: Session,
) -> Result<Response> {
    let user = users.sign_in(&login.user, login.user_agent.as_deref()).await;
    let Some(user) = user.map_err(unavailable)? else {
        return Ok((StatusCode::FORBIDDEN, Html(Page::Banned.html())).into_response());
    };
    session.cycle_id().await.map_err(unavailable)?; // nobody has planted the new id
    session.insert("user", user.session).await.map_err(unavailable)?;
    Ok(Redirect::to(&login.return_to).into_response())
}

/// Called once for each login at `/link`: the user who is signed in has another Telegram account now.
async fn on_link(
    login: SignedIn,
    State(users): State<Users>,
    session: Session,
) -> Result<Response> {
    let Some(user) = user_of(&session, &users).await? else {
        return Ok(Redirect::to("/login").into_response());
    };
    if users.link(&user, &login.user).await.map_err(unavailable)? {
        Ok(Redirect::to("/account").into_response())
    } else {
        Ok((StatusCode::CONFLICT, Html(Page::Taken.html())).into_response())
    }
}

async fn user_of(session: &Session, users: &Users) -> Result<Option<User>> {
    match session.get::<String>("user").await.map_err(unavailable)? {
        Some(user) => users.of(&user).await.map_err(unavailable),
        None => Ok(None),
    }
}

async fn home(session: Session, State(users): State<Users>) -> Result<Html<String>> {
    Ok(Html(Page::Home(user_of(&session, &users).await?).html()))
}

/// Requires a login, and comes back here after it.
async fn account(session: Session, State(users): State<Users>) -> Result<Response> {
    let Some(user) = user_of(&session, &users).await? else {
        return Ok(Redirect::to("/login?return_to=/account").into_response());
    };
    let sign_ins = users.sign_ins(&user).await.map_err(unavailable)?;
    Ok(Html(Page::Account(user, sign_ins).html()).into_response())
}

async fn sign_out(session: Session) -> Result<Redirect> {
    session.flush().await.map_err(unavailable)?;
    Ok(Redirect::to("/"))
}

async fn sign_out_everywhere(session: Session, State(users): State<Users>) -> Result<Redirect> {
    if let Some(user) = user_of(&session, &users).await? {
        users.sign_out_everywhere(&user).await.map_err(unavailable)?;
    }
    sign_out(session).await
}
