//! The attack suite on Rocket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod suite;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Mutex,
};

use bondify_rocket::login::{Login, LoginExt, SignedIn};
use bondify_testkit::http_suite::Server;
use rocket::{
    Config, State,
    config::{LogLevel, Shutdown},
    fairing::AdHoc,
    http::{Cookie, CookieJar, Status},
    post,
    response::Redirect,
    routes,
};
use suite::{Framework, browser_suite, handle, login_suite};
use tokio::sync::oneshot;

struct OnRocket;

impl Framework for OnRocket {
    const PASSES_ALL_BYTES: bool = false;

    async fn serve(login: Login) -> Server {
        let config = Config {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            log_level: LogLevel::Off,
            shutdown: Shutdown { ctrlc: false, grace: 0, mercy: 0, ..Shutdown::default() },
            ..Config::debug_default()
        };
        let (started, starting) = oneshot::channel();
        let started = Mutex::new(Some(started));
        let report = AdHoc::on_liftoff("report the port", move |rocket| {
            let started = started.lock().unwrap().take().unwrap();
            started.send(rocket.config().port).unwrap();
            Box::pin(async {})
        });
        let rocket = rocket::custom(config).manage("session");
        let rocket = rocket.attach(login.mount("/login", routes![on_login]));
        let rocket = rocket.attach(login.mount("/link", routes![on_login])).attach(report);
        let server = tokio::spawn(rocket.launch());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, starting.await.unwrap()));
        Server::new(address, async { drop(server.await.unwrap().unwrap()) })
    }
}

#[post("/finish", data = "<login>")]
async fn on_login(
    login: SignedIn,
    jar: &CookieJar<'_>,
    cookie: &State<&'static str>,
) -> Result<Redirect, Status> {
    handle(&login).await.map_err(Status::new)?;
    jar.add(Cookie::new(**cookie, login.user.id().to_string()));
    Ok(Redirect::to(login.return_to.clone()))
}

login_suite!(OnRocket);
browser_suite! { in_a_browser: OnRocket, Ours:
    a_phone_signs_a_browser_in
    a_restart_behind_nginx_is_survived
}
browser_suite!(#[ignore = "scripts/browsers runs it"] each_in_a_browser: OnRocket, Ours);
browser_suite!(in_a_browser_with_a_single_page_app: OnRocket, App);
