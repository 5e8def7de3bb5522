//! A small web app with a "Sign in with Telegram" page, and its users in a database.
//!
//! Run it with `cargo run -p example-login` and open the address that it prints: it starts
//! a Bondify of its own, on which you play the user. With `BONDIFY_PROJECT_ID` and
//! `BONDIFY_WEBHOOK_SECRET` set it uses that project instead, at `BONDIFY_API_URL` if that
//! is set too. The project needs no webhook; if it has one, let it lead to `/webhooks/bondify`,
//! and set `WEBHOOK` to 1.
//!
//! The users are in the SQLite file `login.db`, or where `DATABASE_URL` says: `sqlite:PATH` or
//! `postgres://…`. Behind TLS, `ORIGIN` is the address that browsers see, and `LOGIN_COOKIE_KEY` has 32
//! random bytes or more, with which a login that has begun survives a restart.
//!
//! Several instances share these three, and the Redis of `REDIS_URL`: a webhook that one of them receives then wakes
//! the page that waits at another, and any of them can finish a login.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::{env, net::SocketAddr, time::Duration};

use anyhow::Context;
use bondify_axum::{
    Bondify, Secret, Shutdown,
    client::{Client, Sessions},
    login::Login,
};
use bondify_emulator::{Emulator, ProjectSettings};
use bondify_redis::{RedisStore, RedisWakeups, redis};
use example_login::{Users, app};
use example_support::{port, usage};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signal()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let listening = TcpListener::bind(address).await;
    let listener = listening.with_context(|| format!("cannot listen on {address}"))?;
    let url = format!("http://{}", listener.local_addr()?);

    let (sessions, secret, local) = match env::var("BONDIFY_PROJECT_ID") {
        Ok(project_id) => {
            let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET").unwrap_or_else(usage);
            let api = variable("BONDIFY_API_URL", Client::DEFAULT_BASE_URL);
            (sessions(&api, project_id), secret, None)
        }
        Err(_) => {
            let project = ProjectSettings::new()
                .id("proj_login")
                .name("Login example")
                .webhook_url(format!("{url}/webhooks/bondify"))
                .public_access(true);
            let emulator = Emulator::builder().project(project).start().await?;
            let secret = emulator.project("proj_login")?.secret();
            println!("a local Bondify is on {}", emulator.url());
            (sessions(emulator.url(), "proj_login".to_owned()), secret, Some(emulator))
        }
    };

    let redis = env::var("REDIS_URL").ok();
    let redis = redis.map(|url| redis::Client::open(url).unwrap_or_else(usage));
    let mut bondify = Bondify::builder(secret);
    if let Some(redis) = redis.clone() {
        bondify = bondify.store(RedisStore::open(redis));
    }
    let bondify = bondify.build()?;
    let mut login = Login::builder(sessions, &bondify)
        .origin(variable("ORIGIN", &url))
        .app_name("Login example")
        .webhooks(local.is_some() || env::var_os("WEBHOOK").is_some());
    if let Ok(key) = env::var("LOGIN_COOKIE_KEY") {
        login = login.cookie_key(key);
    }
    if let Some(redis) = redis {
        login = login.wakeups(RedisWakeups::open(redis));
    }
    let login = login.build().unwrap_or_else(usage);
    let users = Users::connect(&variable("DATABASE_URL", "sqlite:login.db?mode=rwc")).await?;
    let app = app(&login, &bondify, users);
    println!("sign in on {url}");
    let requested = shutdown.requested();
    let closed = async move {
        requested.await;
        login.close();
    };
    tokio::select! {
        served = axum::serve(listener, app).with_graceful_shutdown(closed) => served?,
        () = shutdown.deadline(Duration::from_secs(1)) => {}
    }
    Ok(bondify.drain(Duration::from_secs(5)).await?)
}

fn sessions(api: &str, project_id: String) -> Sessions {
    Client::builder().base_url(api).build().unwrap_or_else(usage).sessions(project_id)
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}
