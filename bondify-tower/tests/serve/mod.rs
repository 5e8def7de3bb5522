use std::convert::Infallible;

use bondify_testkit::http_suite::Server;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::TcpListener;
use tower::service_fn;

pub(crate) type Answer = Response<Full<Bytes>>;

/// Serves `dispatch` on a plain hyper server.
pub(crate) async fn serve<F>(
    dispatch: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> Server
where
    F: Future<Output = Answer> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Server::new(address, async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let dispatch = dispatch.clone();
            let service = service_fn(move |request| {
                let answer = dispatch(request);
                async { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(async move {
                let connection = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
                let _hung_up_by_client = connection.await;
            });
        }
    })
}
