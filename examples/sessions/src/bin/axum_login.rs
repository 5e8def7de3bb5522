//! Sessions by `axum-login`: `cargo run -p example-sessions --bin axum_login`.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, login_required};
use bondify_axum::{
    TelegramUser,
    login::{LoginExt, SignedIn},
};
use shop::{Page, User, Users, port, start};
use tokio::net::TcpListener;
use tower_sessions::{MemoryStore, SessionManagerLayer};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port()?)).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let (login, users) = start(&origin).await?;
    // Another store keeps sessions over a restart. Behind TLS leave out `with_secure`.
    let sessions = SessionManagerLayer::new(MemoryStore::default()).with_secure(false);
    let required = login_required!(Accounts, login_url = "/login", redirect_field = "return_to");
    let app = Router::new()
        .route("/account", get(account))
        .route_layer(required) // comes back after the login
        .route("/", get(home))
        .route("/logout", post(sign_out))
        .route("/logout/everywhere", post(sign_out_everywhere))
        .merge(login.routes("/login", on_login))
        .merge(login.routes("/link", on_link))
        .layer(AuthManagerLayerBuilder::new(Accounts(users.clone()), sessions).build())
        .with_state(users);
    println!("sign in on {origin}");
    Ok(axum::serve(listener, app).await?)
}

/// The users, as `axum-login` asks for them.
#[derive(Clone)]
struct Accounts(Users);

#[derive(Clone, Debug)]
struct Account(User);

impl AuthUser for Account {
    type Id = String;

    fn id(&self) -> String {
        self.0.session.clone()
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.0.session.as_bytes()
    }
}

impl AuthnBackend for Accounts {
    type User = Account;
    type Credentials = (TelegramUser, Option<String>);
    type Error = sqlx::Error;

    async fn authenticate(
        &self,
        (user, browser): (TelegramUser, Option<String>),
    ) -> sqlx::Result<Option<Account>> {
        Ok(self.0.sign_in(&user, browser.as_deref()).await?.map(Account))
    }

    async fn get_user(&self, session: &String) -> sqlx::Result<Option<Account>> {
        Ok(self.0.of(session).await?.map(Account))
    }
}

type Result<T> = std::result::Result<T, StatusCode>;

fn unavailable(_: impl std::error::Error) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

/// Called once for each login at `/login`, in the browser that began it.
async fn on_login(login: SignedIn, mut auth: AuthSession<Accounts>) -> Result<Response> {
    let proven = (login.user.clone(), login.user_agent.clone());
    let Some(account) = auth.authenticate(proven).await.map_err(unavailable)? else {
        return Ok((StatusCode::FORBIDDEN, Html(Page::Banned.html())).into_response());
    };
    auth.login(&account).await.map_err(unavailable)?;
    Ok(Redirect::to(&login.return_to).into_response())
}

/// Called once for each login at `/link`: the user who is signed in has another Telegram account now.
async fn on_link(
    login: SignedIn,
    auth: AuthSession<Accounts>,
    State(users): State<Users>,
) -> Result<Response> {
    let Some(Account(user)) = auth.user else {
        return Ok(Redirect::to("/login").into_response());
    };
    if users.link(&user, &login.user).await.map_err(unavailable)? {
        Ok(Redirect::to("/account").into_response())
    } else {
        Ok((StatusCode::CONFLICT, Html(Page::Taken.html())).into_response())
    }
}

async fn home(auth: AuthSession<Accounts>) -> Html<String> {
    Html(Page::Home(auth.user.map(|Account(user)| user)).html())
}

async fn account(auth: AuthSession<Accounts>, State(users): State<Users>) -> Result<Html<String>> {
    let Some(Account(user)) = auth.user else { return Err(StatusCode::UNAUTHORIZED) };
    let sign_ins = users.sign_ins(&user).await.map_err(unavailable)?;
    Ok(Html(Page::Account(user, sign_ins).html()))
}

async fn sign_out(mut auth: AuthSession<Accounts>) -> Result<Redirect> {
    auth.logout().await.map_err(unavailable)?;
    Ok(Redirect::to("/"))
}

async fn sign_out_everywhere(
    auth: AuthSession<Accounts>,
    State(users): State<Users>,
) -> Result<Redirect> {
    if let Some(Account(user)) = &auth.user {
        users.sign_out_everywhere(user).await.map_err(unavailable)?;
    }
    sign_out(auth).await
}
