//! Sessions by Rocket's private cookies: `cargo run -p example-sessions --bin rocket_cookies`.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::net::Ipv4Addr;

use bondify_rocket::login::{LoginExt, SignedIn};
use rocket::{
    Config, Request, Responder, State,
    config::{LogLevel, SecretKey},
    fairing::AdHoc,
    get,
    http::{Cookie, CookieJar, SameSite, Status},
    post,
    request::{FromRequest, Outcome},
    response::{Redirect, content::RawHtml},
    routes,
};
use shop::{Page, User, Users, port, start};

#[rocket::main]
async fn main() -> anyhow::Result<()> {
    let port = port()?;
    let (login, users) = start(&format!("http://127.0.0.1:{port}")).await?;
    let config = Config {
        address: Ipv4Addr::LOCALHOST.into(),
        port,
        log_level: LogLevel::Off,
        // With one that lasts, a restart ends no session.
        secret_key: SecretKey::generate().ok_or_else(|| anyhow::anyhow!("no randomness"))?,
        ..Config::default()
    };
    let announce = AdHoc::on_liftoff("announce", |rocket| {
        Box::pin(async { println!("sign in on http://127.0.0.1:{}", rocket.config().port) })
    });
    rocket::custom(config)
        .manage(users)
        .mount("/", routes![home, account, without_login, sign_out, sign_out_everywhere])
        .attach(login.mount("/login", routes![on_login]))
        .attach(login.mount("/link", routes![on_link]))
        .attach(announce)
        .launch()
        .await?;
    Ok(())
}

#[derive(Responder)]
enum Answer {
    To(Box<Redirect>),
    #[response(status = 200)]
    Shown(RawHtml<String>),
    #[response(status = 403)]
    Banned(RawHtml<String>),
    #[response(status = 409)]
    Taken(RawHtml<String>),
}

fn to(path: &str) -> Answer {
    Answer::To(Box::new(Redirect::to(path.to_owned())))
}

fn unavailable(_: sqlx::Error) -> Status {
    Status::ServiceUnavailable
}

/// Called once for each login at `/login`, in the browser that began it.
#[post("/finish", data = "<login>")]
async fn on_login(
    login: SignedIn,
    users: &State<Users>,
    jar: &CookieJar<'_>,
) -> Result<Answer, Status> {
    let user = users.sign_in(&login.user, login.user_agent.as_deref()).await;
    let Some(user) = user.map_err(unavailable)? else {
        return Ok(Answer::Banned(RawHtml(Page::Banned.html())));
    };
    jar.add_private(Cookie::build(("session", user.session)).same_site(SameSite::Lax));
    Ok(to(&login.return_to))
}

/// Called once for each login at `/link`: the user who is signed in has another Telegram account now.
#[post("/finish", data = "<login>")]
async fn on_link(
    login: SignedIn,
    users: &State<Users>,
    account: Option<Account>,
) -> Result<Answer, Status> {
    let Some(Account(user)) = account else { return Ok(to("/login")) };
    if users.link(&user, &login.user).await.map_err(unavailable)? {
        Ok(to("/account"))
    } else {
        Ok(Answer::Taken(RawHtml(Page::Taken.html())))
    }
}

/// The user who is signed in.
struct Account(User);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Account {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let Some(session) = request.cookies().get_private("session") else {
            return Outcome::Forward(Status::Unauthorized);
        };
        match request.rocket().state::<Users>() {
            Some(users) => match users.of(session.value()).await {
                Ok(Some(user)) => Outcome::Success(Self(user)),
                Ok(None) => Outcome::Forward(Status::Unauthorized),
                Err(_) => Outcome::Error((Status::ServiceUnavailable, ())),
            },
            None => Outcome::Error((Status::InternalServerError, ())),
        }
    }
}

#[get("/")]
fn home(account: Option<Account>) -> RawHtml<String> {
    RawHtml(Page::Home(account.map(|Account(user)| user)).html())
}

#[get("/account")]
async fn account(account: Account, users: &State<Users>) -> Result<Answer, Status> {
    let Account(user) = account;
    let sign_ins = users.sign_ins(&user).await.map_err(unavailable)?;
    Ok(Answer::Shown(RawHtml(Page::Account(user, sign_ins).html())))
}

/// Comes back to the account after a login.
#[get("/account", rank = 2)]
fn without_login() -> Redirect {
    Redirect::to("/login?return_to=/account")
}

#[post("/logout")]
fn sign_out(jar: &CookieJar<'_>) -> Redirect {
    jar.remove_private("session");
    Redirect::to("/")
}

#[post("/logout/everywhere")]
async fn sign_out_everywhere(
    account: Option<Account>,
    users: &State<Users>,
    jar: &CookieJar<'_>,
) -> Result<Redirect, Status> {
    if let Some(Account(user)) = account {
        users.sign_out_everywhere(&user).await.map_err(unavailable)?;
    }
    Ok(sign_out(jar))
}
