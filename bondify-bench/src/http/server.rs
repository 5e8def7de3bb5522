//! The servers, each with a bare handler and one that Bondify is attached to, on one worker.

use std::{
    io::{self, Write, stdout},
    net::Ipv4Addr,
};

use bondify_core::{Bondify, MemoryStore};
use clap::ValueEnum;
use tokio::{net::TcpListener, runtime};

use crate::events::secret;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Framework {
    Axum,
    Actix,
    Rocket,
    Warp,
}

impl Framework {
    pub(super) const ALL: [Self; 4] = [Self::Axum, Self::Actix, Self::Rocket, Self::Warp];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Axum => "axum",
            Self::Actix => "actix",
            Self::Rocket => "rocket",
            Self::Warp => "warp",
        }
    }
}

/// The handler of a server.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Handler {
    /// Reads the body and answers 200.
    Bare,
    /// Answers 200 to the events that Bondify accepts.
    Bondify,
}

impl Handler {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Bondify => "bondify",
        }
    }
}

/// The path of the webhook.
pub(super) const PATH: &str = "/webhooks/bondify";

const LOCALHOST: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Serves until the process is killed. Prints the port.
pub(crate) fn serve(framework: Framework, handler: Handler) -> io::Result<()> {
    match framework {
        Framework::Axum => on_one_worker(axum(handler)),
        Framework::Actix => actix_web::rt::System::new().block_on(actix(handler)),
        Framework::Rocket => rocket::execute(rocket(handler)),
        Framework::Warp => on_one_worker(warp(handler)),
    }
}

fn on_one_worker(server: impl Future<Output = io::Result<()>> + Send + 'static) -> io::Result<()> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async { tokio::spawn(server).await? })
}

/// Builds Bondify on the current runtime, with room for all events of a run.
fn bondify() -> Bondify {
    let store = MemoryStore::with_capacity(4_000_000);
    Bondify::builder(secret()).store(store).build().expect("makes sense")
}

fn announce(port: u16) {
    let _nobody_listens = writeln!(stdout(), "{port}").and_then(|()| stdout().flush());
}

async fn axum(handler: Handler) -> io::Result<()> {
    use axum::{Router, body::Bytes, http::StatusCode, routing::post};
    use bondify_axum::{BondifyEvent, BondifyExt};

    let route = match handler {
        Handler::Bare => post(async |_: Bytes| StatusCode::OK),
        Handler::Bondify => bondify().post(async |_: BondifyEvent| StatusCode::OK),
    };
    let listener = TcpListener::bind(LOCALHOST).await?;
    announce(listener.local_addr()?.port());
    axum::serve(listener, Router::new().route(PATH, route)).await
}

async fn actix(handler: Handler) -> io::Result<()> {
    use actix_web::{App, HttpResponse, HttpServer, web};
    use bondify_actix::{BondifyEvent, BondifyExt};

    let bondify = bondify();
    let server = HttpServer::new(move || {
        let resource = web::resource(PATH);
        let bare = web::post().to(async |_: web::Bytes| HttpResponse::Ok());
        let on_event = web::post().to(async |_: BondifyEvent| HttpResponse::Ok());
        let bondify = bondify.clone();
        App::new().configure(move |config| {
            match handler {
                Handler::Bare => config.service(resource.route(bare)),
                Handler::Bondify => {
                    config.service(resource.wrap(bondify.middleware()).route(on_event))
                }
            };
        })
    });
    let server = server.workers(1).bind(LOCALHOST)?;
    server.addrs().iter().for_each(|address| announce(address.port()));
    server.run().await
}

async fn rocket(handler: Handler) -> io::Result<()> {
    use bondify_rocket::{BondifyEvent, BondifyExt};
    use rocket::{Config, config::LogLevel, fairing::AdHoc, http::Status, post, routes};

    #[post("/bondify", data = "<_body>")]
    async fn bare(_body: Vec<u8>) -> Status {
        Status::Ok
    }

    #[post("/bondify", data = "<_event>")]
    async fn on_event(_event: BondifyEvent) -> Status {
        Status::Ok
    }

    let config =
        Config { port: 0, workers: 1, log_level: LogLevel::Off, ..Config::release_default() };
    let announce =
        AdHoc::on_liftoff("announce", |rocket| Box::pin(async { announce(rocket.config().port) }));
    let rocket = rocket::custom(config).attach(announce);
    let rocket = match handler {
        Handler::Bare => rocket.mount("/webhooks", routes![bare]),
        Handler::Bondify => rocket.attach(bondify().mount("/webhooks", routes![on_event])),
    };
    rocket.launch().await.map(drop).map_err(io::Error::other)
}

async fn warp(handler: Handler) -> io::Result<()> {
    use bondify_warp::{BondifyEvent, BondifyExt};
    use bytes::Bytes;
    use warp::{Filter, http::StatusCode};

    let listener = TcpListener::bind(LOCALHOST).await?;
    announce(listener.local_addr()?.port());
    let route = warp::path!("webhooks" / "bondify").and(warp::post());
    match handler {
        Handler::Bare => {
            let bare = warp::body::bytes().then(async |_: Bytes| StatusCode::OK);
            warp::serve(route.and(bare)).incoming(listener).run().await;
        }
        Handler::Bondify => {
            let on_event = bondify().webhook(async |_: BondifyEvent| StatusCode::OK);
            warp::serve(route.and(on_event)).incoming(listener).run().await;
        }
    }
    Ok(())
}
