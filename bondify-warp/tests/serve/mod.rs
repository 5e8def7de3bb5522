use bondify_testkit::http_suite::Server;
use tokio::net::TcpListener;
use warp::{Filter, Rejection, Reply};

pub(crate) async fn serve<F>(routes: F) -> Server
where
    F: Filter<Extract: Reply, Error = Rejection> + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Server::new(address, warp::serve(routes).incoming(listener).run())
}
