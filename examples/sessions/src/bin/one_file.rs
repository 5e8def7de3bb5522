//! Users who stay signed in, in one file and without a database: `cargo run -p example-sessions --bin one_file`.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use askama::Template;
use axum::{
    Router,
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use bondify_axum::{
    Bondify,
    client::Client,
    login::{Login, LoginExt, SignedIn},
};
use bondify_emulator::{Emulator, ProjectSettings};
use tokio::net::TcpListener;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, session};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // The local Bondify. The real one: `Client::new()?`, and the secret from the environment.
    let project = ProjectSettings::new().id("proj_shop").public_access(true);
    let local = Emulator::builder().project(project).start().await?;
    let api = Client::builder().base_url(local.url()).build()?;
    let bondify = Bondify::builder(local.project("proj_shop")?.secret()).build()?;

    let login = Login::builder(api.sessions("proj_shop"), &bondify)
        .origin("http://127.0.0.1:3000")
        .app_name("Shop")
        .build()?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("sign in on http://127.0.0.1:3000");
    Ok(axum::serve(listener, app(&login)).await?)
}

fn app(login: &Login) -> Router {
    // The sessions are in memory: a restart ends them all. Behind TLS leave out `with_secure`.
    let sessions = SessionManagerLayer::new(MemoryStore::default()).with_secure(false);
    Router::new()
        .route("/", get(home))
        .route("/account", get(account))
        .route("/logout", post(sign_out))
        .merge(login.routes("/login", on_login))
        .layer(sessions)
}

type Result<T> = std::result::Result<T, StatusCode>;

fn unavailable(_: session::Error) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

/// Called once for each login, in the browser that began it.
async fn on_login(login: SignedIn, session: Session) -> Result<Redirect> {
    let user = (login.user.id().as_str(), login.user.name());
    session.cycle_id().await.map_err(unavailable)?; // nobody has planted the new id
    session.insert("user", user).await.map_err(unavailable)?;
    Ok(Redirect::to(&login.return_to))
}

/// The Telegram id and the name of the user who is signed in.
async fn user_of(session: &Session) -> Result<Option<(String, String)>> {
    session.get("user").await.map_err(unavailable)
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html><title>Shop</title>
{% if let Some((_, name)) = user %}
<p>Welcome, {{ name }}! <a href="/account">Your account</a></p>
<form method="post" action="/logout"><button>Sign out</button></form>
{% else %}
<form method="post" action="/login"><button>Sign in with Telegram</button></form>
{% endif %}"#
)]
struct Home {
    user: Option<(String, String)>,
}

async fn home(session: Session) -> Result<Html<String>> {
    let home = Home { user: user_of(&session).await? };
    Ok(Html(home.render().unwrap_or_default()))
}

/// Requires a login, and comes back here after it.
async fn account(session: Session) -> Result<Response> {
    let Some((id, name)) = user_of(&session).await? else {
        return Ok(Redirect::to("/login?return_to=/account").into_response());
    };
    Ok(format!("The account of {name}, whose Telegram id is {id}.").into_response())
}

async fn sign_out(session: Session) -> Result<Redirect> {
    session.flush().await.map_err(unavailable)?;
    Ok(Redirect::to("/"))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::http::Response;
    use bondify_emulator::{Browser, Persona};

    use super::*;

    /// Starts the app, on a local Bondify.
    async fn start() -> (Emulator, SocketAddr) {
        let project = ProjectSettings::new().id("proj_shop").public_access(true);
        let emulator = Emulator::builder().project(project).start().await.unwrap();
        let api = Client::builder().base_url(emulator.url()).build().unwrap();
        let secret = emulator.project("proj_shop").unwrap().secret();
        let bondify = Bondify::builder(secret).build().unwrap();
        let login = Login::builder(api.sessions("proj_shop"), &bondify);
        let login = login.origin("https://shop.example").cookie_key([7; 32]).build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app(&login)).await });
        (emulator, address)
    }

    fn location(response: &Response<String>) -> &str {
        assert!(response.status().is_redirection(), "{response:?}");
        response.headers()["location"].to_str().unwrap()
    }

    #[tokio::test]
    async fn a_user_signs_in_for_a_page_and_signs_out() {
        let (emulator, app) = start().await;
        let mut browser = Browser::new(&emulator, app);
        assert!(browser.get("/").await.unwrap().body().contains("Sign in with Telegram"));

        let login = location(&browser.get("/account").await.unwrap()).to_owned();
        let done = browser.sign_in(&login, Persona::new("42", "<Ada>")).await.unwrap();
        assert_eq!(location(&done), "/account");
        let account = browser.get("/account").await.unwrap();
        assert_eq!(account.body(), "The account of <Ada>, whose Telegram id is 42.");
        assert!(account.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
        let home = browser.get("/").await.unwrap();
        assert!(home.body().contains("Welcome, &#60;Ada&#62;!"), "{home:?}");

        assert_eq!(location(&browser.post("/logout", "").await.unwrap()), "/");
        assert!(browser.get("/").await.unwrap().body().contains("Sign in with Telegram"));
        assert_eq!(location(&browser.get("/account").await.unwrap()), login);
    }

    #[tokio::test]
    async fn a_user_who_cancels_is_not_signed_in() {
        let (emulator, app) = start().await;
        let mut browser = Browser::new(&emulator, app);
        let session = browser.begin("/login").await.unwrap();
        emulator.cancel(&session).unwrap();
        browser.finish("/login").await.unwrap();
        assert!(browser.get("/").await.unwrap().body().contains("Sign in with Telegram"));
    }

    #[tokio::test]
    async fn another_browser_is_not_signed_in() {
        let (emulator, app) = start().await;
        Browser::new(&emulator, app).sign_in("/login", Persona::new("42", "Ada")).await.unwrap();
        let mut other = Browser::new(&emulator, app);
        assert!(other.get("/").await.unwrap().body().contains("Sign in with Telegram"));
    }
}
