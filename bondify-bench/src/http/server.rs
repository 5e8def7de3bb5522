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

const LOCALHOST: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Serves until the process is killed. Prints the port.
pub(crate) fn serve(framework: Framework) -> io::Result<()> {
    match framework {
        Framework::Axum => on_one_worker(axum()),
        Framework::Actix => actix_web::rt::System::new().block_on(actix()),
        Framework::Rocket => rocket::execute(rocket()),
        Framework::Warp => on_one_worker(warp()),
    }
}

fn on_one_worker(server: impl Future<Output = io::Result<()>> + Send + 'static) -> io::Result<()> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async { tokio::spawn(server).await? })
}

/// On the current runtime. Its store has room for all events of a run.
fn bondify() -> Bondify {
    let store = MemoryStore::with_capacity(4_000_000);
    Bondify::builder(secret()).store(store).build().expect("makes sense")
}

fn announce(port: u16) {
    let _nobody_listens = writeln!(stdout(), "{port}").and_then(|()| stdout().flush());
}

async fn axum() -> io::Result<()> {
    use axum::{Router, body::Bytes, http::StatusCode, routing::post};
    use bondify_axum::{BondifyEvent, BondifyExt};

    let bare = async |_: Bytes| StatusCode::OK;
    let on_event = async |_: BondifyEvent| StatusCode::OK;
    let app = Router::new().route("/bare", post(bare)).route("/bondify", bondify().post(on_event));
    let listener = TcpListener::bind(LOCALHOST).await?;
    announce(listener.local_addr()?.port());
    axum::serve(listener, app).await
}

async fn actix() -> io::Result<()> {
    use actix_web::{App, HttpResponse, HttpServer, web};
    use bondify_actix::{BondifyEvent, BondifyExt};

    let bondify = bondify();
    let server = HttpServer::new(move || {
        let bare = web::post().to(async |_: web::Bytes| HttpResponse::Ok());
        let on_event = web::post().to(async |_: BondifyEvent| HttpResponse::Ok());
        let hook = web::resource("/bondify").wrap(bondify.middleware()).route(on_event);
        App::new().route("/bare", bare).service(hook)
    });
    let server = server.workers(1).bind(LOCALHOST)?;
    server.addrs().iter().for_each(|address| announce(address.port()));
    server.run().await
}

async fn rocket() -> io::Result<()> {
    use bondify_rocket::{BondifyEvent, BondifyExt};
    use rocket::{Config, config::LogLevel, fairing::AdHoc, http::Status, post, routes};

    #[post("/bare", data = "<_body>")]
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
    let mount = bondify().mount("/", routes![on_event]);
    let rocket = rocket::custom(config).mount("/", routes![bare]).attach(mount).attach(announce);
    rocket.launch().await.map(drop).map_err(io::Error::other)
}

async fn warp() -> io::Result<()> {
    use bondify_warp::{BondifyEvent, webhook};
    use bytes::Bytes;
    use warp::{Filter, http::StatusCode};

    let bare = warp::path!("bare").and(warp::post()).and(warp::body::bytes());
    let bare = bare.then(async |_: Bytes| StatusCode::OK);
    let on_event = webhook(&bondify(), async |_: BondifyEvent| StatusCode::OK);
    let hook = warp::path!("bondify").and(warp::post()).and(on_event);
    let listener = TcpListener::bind(LOCALHOST).await?;
    announce(listener.local_addr()?.port());
    warp::serve(bare.or(hook)).incoming(listener).run().await;
    Ok(())
}
