//! Sessions by `actix-session`: `cargo run -p example-sessions --bin actix_session`.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::net::TcpListener;

use actix_session::{Session, SessionMiddleware, storage::CookieSessionStore};
use actix_web::{
    App, Error, HttpResponse, HttpServer,
    cookie::Key,
    error::ErrorServiceUnavailable as unavailable,
    http::header::{ContentType, LOCATION},
    web::{Data, get, post},
};
use bondify_actix::login::{LoginExt, SignedIn};
use shop::{Page, User, Users, port, start};

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port()?))?;
    let origin = format!("http://{}", listener.local_addr()?);
    let (login, users) = start(&origin).await?;
    let key = Key::generate(); // with one that lasts, a restart ends no session
    println!("sign in on {origin}");
    let app = move || {
        // Behind TLS leave out `cookie_secure`.
        let sessions = SessionMiddleware::builder(CookieSessionStore::default(), key.clone());
        App::new()
            .wrap(sessions.cookie_secure(false).build())
            .app_data(Data::new(users.clone()))
            .route("/", get().to(home))
            .route("/account", get().to(account))
            .route("/logout", post().to(sign_out))
            .route("/logout/everywhere", post().to(sign_out_everywhere))
            .configure(login.routes("/login", on_login))
            .configure(login.routes("/link", on_link))
    };
    Ok(HttpServer::new(app).listen(listener)?.run().await?)
}

type Result<T> = std::result::Result<T, Error>;

/// Called once for each login at `/login`, in the browser that began it.
async fn on_login(login: SignedIn, users: Data<Users>, session: Session) -> Result<HttpResponse> {
    let user = users.sign_in(&login.user, login.user_agent.as_deref()).await;
    let Some(user) = user.map_err(unavailable)? else {
        return Ok(HttpResponse::Forbidden()
            .content_type(ContentType::html())
            .body(Page::Banned.html()));
    };
    session.renew(); // nobody has planted the new id
    session.insert("user", user.session)?;
    Ok(to(&login.return_to))
}

/// Called once for each login at `/link`: the user who is signed in has another Telegram account now.
async fn on_link(login: SignedIn, users: Data<Users>, session: Session) -> Result<HttpResponse> {
    let Some(user) = user_of(&session, &users).await? else { return Ok(to("/login")) };
    if users.link(&user, &login.user).await.map_err(unavailable)? {
        Ok(to("/account"))
    } else {
        Ok(HttpResponse::Conflict().content_type(ContentType::html()).body(Page::Taken.html()))
    }
}

async fn user_of(session: &Session, users: &Users) -> Result<Option<User>> {
    match session.get::<String>("user")? {
        Some(user) => users.of(&user).await.map_err(unavailable),
        None => Ok(None),
    }
}

fn to(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, path)).finish()
}

fn html(page: &Page) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::html()).body(page.html())
}

async fn home(session: Session, users: Data<Users>) -> Result<HttpResponse> {
    Ok(html(&Page::Home(user_of(&session, &users).await?)))
}

/// Requires a login, and comes back here after it.
async fn account(session: Session, users: Data<Users>) -> Result<HttpResponse> {
    let Some(user) = user_of(&session, &users).await? else {
        return Ok(to("/login?return_to=/account"));
    };
    let sign_ins = users.sign_ins(&user).await.map_err(unavailable)?;
    Ok(html(&Page::Account(user, sign_ins)))
}

async fn sign_out(session: Session) -> HttpResponse {
    session.purge();
    to("/")
}

async fn sign_out_everywhere(session: Session, users: Data<Users>) -> Result<HttpResponse> {
    if let Some(user) = user_of(&session, &users).await? {
        users.sign_out_everywhere(&user).await.map_err(unavailable)?;
    }
    Ok(sign_out(session).await)
}
