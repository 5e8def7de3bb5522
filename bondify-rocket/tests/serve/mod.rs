use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Mutex,
};

use bondify_testkit::{Script, http_suite::Server};
use rocket::{
    Build, Config, Rocket,
    config::{LogLevel, Shutdown},
    fairing::AdHoc,
};
use tokio::sync::oneshot;

pub(crate) fn rocket(script: Script) -> Rocket<Build> {
    let config = Config {
        address: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        log_level: LogLevel::Off,
        shutdown: Shutdown { ctrlc: false, grace: 0, mercy: 0, ..Shutdown::default() },
        ..Config::debug_default()
    };
    rocket::custom(config).manage(script)
}

/// Launches a Rocket. `None` if the launch is aborted.
pub(crate) async fn serve(rocket: Rocket<Build>) -> Option<Server> {
    let (started, starting) = oneshot::channel();
    let started = Mutex::new(Some(started));
    let report = AdHoc::on_liftoff("report the port", move |rocket| {
        let started = started.lock().unwrap().take().unwrap();
        started.send(rocket.config().port).unwrap();
        Box::pin(async {})
    });
    let ignited = rocket.attach(report).ignite().await;
    // Rocket panics if an error is dropped unread.
    let rocket = ignited.map_err(|refused| refused.to_string()).ok()?;
    let server = tokio::spawn(rocket.launch());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, starting.await.unwrap()));
    Some(Server::new(address, async { drop(server.await.unwrap().unwrap()) }))
}
