use bondify_testkit::{Script, http_suite::Server};
use bondify_warp::BondifyEvent;
use tokio::net::TcpListener;
use warp::{Filter, Rejection, Reply, http::StatusCode};

pub(crate) async fn serve<F>(routes: F) -> Server
where
    F: Filter<Extract: Reply, Error = Rejection> + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Server::new(address, warp::serve(routes).incoming(listener).run())
}

pub(crate) async fn on_event(
    event: BondifyEvent,
    script: Script,
) -> Result<StatusCode, StatusCode> {
    let status = script.handle(&event).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(StatusCode::from_u16(status).unwrap())
}
