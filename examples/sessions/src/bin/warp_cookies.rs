//! Sessions by an encrypted cookie of the crate `cookie`, on warp:
//! `cargo run -p example-sessions --bin warp_cookies`.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::future::ready;

use bondify_warp::login::{LoginExt, SignedIn};
use cookie::{Cookie, CookieJar, Key, SameSite};
use shop::{Page, User, Users, port, start};
use tokio::net::TcpListener;
use warp::{
    Filter, Rejection, Reply,
    http::{
        HeaderMap, StatusCode,
        header::{COOKIE, LOCATION, SET_COOKIE},
    },
    reply::{Response, html, with_header, with_status},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port()?)).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let (login, users) = start(&origin).await?;
    let key = Key::generate(); // with one that lasts, a restart ends no session
    // Other apps of the host may set cookies in any encoding, which `warp::header` refuses.
    let visit = warp::header::headers_cloned().and_then(move |headers| {
        ready(Ok::<_, Rejection>(Visit { users: users.clone(), key: key.clone(), headers }))
    });
    let home = warp::path::end().and(warp::get()).and(visit.clone()).then(home);
    let account = warp::path!("account").and(warp::get()).and(visit.clone()).then(account);
    let out = warp::path!("logout").and(warp::post()).then(sign_out);
    let everywhere = warp::path!("logout" / "everywhere").and(warp::post());
    let everywhere = everywhere.and(visit.clone()).then(sign_out_everywhere);
    let login_page = warp::path("login").and(login.routes_with(visit.clone(), on_login));
    let link_page = warp::path("link").and(login.routes_with(visit, on_link));
    let app = home.or(account).or(out).or(everywhere).or(login_page).or(link_page);
    println!("sign in on {origin}");
    warp::serve(app).incoming(listener).run().await;
    Ok(())
}

/// The parts of a request that the handlers take.
struct Visit {
    users: Users,
    key: Key,
    headers: HeaderMap,
}

impl Visit {
    async fn user(&self) -> Result<Option<User>> {
        let mut jar = CookieJar::new();
        for cookies in self.headers.get_all(COOKIE) {
            let cookies = String::from_utf8_lossy(cookies.as_bytes()).into_owned();
            Cookie::split_parse(cookies).flatten().for_each(|cookie| jar.add_original(cookie));
        }
        match jar.private(&self.key).get("session") {
            Some(session) => self.users.of(session.value()).await.map_err(unavailable),
            None => Ok(None),
        }
    }
}

type Result<T> = std::result::Result<T, StatusCode>;

fn unavailable(_: impl std::error::Error) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

fn to(path: &str) -> Response {
    with_header(StatusCode::SEE_OTHER, LOCATION, path).into_response()
}

/// Called once for each login at `/login`, in the browser that began it.
async fn on_login(login: SignedIn, visit: Visit) -> Result<Response> {
    let user = visit.users.sign_in(&login.user, login.user_agent.as_deref()).await;
    let Some(user) = user.map_err(unavailable)? else {
        return Ok(with_status(html(Page::Banned.html()), StatusCode::FORBIDDEN).into_response());
    };
    let mut jar = CookieJar::new();
    // Behind TLS add `.secure(true)`.
    let session = Cookie::build(("session", user.session)).path("/").http_only(true);
    jar.private_mut(&visit.key).add(session.same_site(SameSite::Lax));
    let set_cookie = jar.delta().map(Cookie::to_string).collect::<String>();
    Ok(with_header(to(&login.return_to), SET_COOKIE, set_cookie).into_response())
}

/// Called once for each login at `/link`: the user who is signed in has another Telegram account now.
async fn on_link(login: SignedIn, visit: Visit) -> Result<Response> {
    let Some(user) = visit.user().await? else { return Ok(to("/login")) };
    if visit.users.link(&user, &login.user).await.map_err(unavailable)? {
        Ok(to("/account"))
    } else {
        Ok(with_status(html(Page::Taken.html()), StatusCode::CONFLICT).into_response())
    }
}

async fn home(visit: Visit) -> Result<Response> {
    Ok(html(Page::Home(visit.user().await?).html()).into_response())
}

/// Requires a login, and comes back here after it.
async fn account(visit: Visit) -> Result<Response> {
    let Some(user) = visit.user().await? else { return Ok(to("/login?return_to=/account")) };
    let sign_ins = visit.users.sign_ins(&user).await.map_err(unavailable)?;
    Ok(html(Page::Account(user, sign_ins).html()).into_response())
}

async fn sign_out() -> Response {
    let removal = Cookie::build("session").path("/").removal().build().to_string();
    with_header(to("/"), SET_COOKIE, removal).into_response()
}

async fn sign_out_everywhere(visit: Visit) -> Result<Response> {
    if let Some(user) = visit.user().await? {
        visit.users.sign_out_everywhere(&user).await.map_err(unavailable)?;
    }
    Ok(sign_out().await)
}
