//! The HTTP contract suite against a plain hyper server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{convert::Infallible, io};

use bondify_testkit::{
    Script,
    http_suite::{Adapter, App, Attached, PATH, Server},
};
use bondify_tower::{
    Bondify, BondifyLayer, Event,
    bondify_core::adapter::{misconfigured, response},
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::TcpListener;
use tower::{Service, ServiceExt, layer::Layer, service_fn, util::BoxCloneSyncService};

type Answer = Response<BoxBody<Bytes, Infallible>>;
type Route<B> = BoxCloneSyncService<Request<B>, Answer, io::Error>;

struct Hyper;

impl Adapter for Hyper {
    async fn serve(App { bondify, script, attached, .. }: App) -> Option<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let route = route(&bondify, script, attached);
        Some(Server::new(address, async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let route = route.clone();
                let service = service_fn(move |request| dispatch(route.clone(), request));
                tokio::spawn(async move {
                    let connection = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
                    let _hung_up_by_client = connection.await;
                });
            }
        }))
    }
}

/// A router of one route, which hyper has not. An error of the route, on which hyper
/// would drop the connection, becomes a 500.
async fn dispatch(
    route: Route<Incoming>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    assert_eq!(request.uri().path(), PATH);
    if request.method() != Method::POST {
        return Ok(status(405));
    }
    Ok(route.oneshot(request).await.unwrap_or_else(|_| status(500)))
}

fn route(bondify: &Bondify, script: Script, attached: Attached) -> Route<Incoming> {
    let once = BondifyLayer::<Full<Bytes>>::new(bondify);
    let twice = BondifyLayer::<Full<Bytes>>::new(bondify);
    match attached {
        Attached::Once => boxed(once.layer(handler(script))),
        Attached::Never => boxed(handler(script)),
        Attached::Twice => boxed(twice.layer(once.layer(handler(script)))),
    }
}

/// hyper has no extractors either: the event is in the request's extensions.
fn handler<B: Send + 'static>(script: Script) -> Route<B> {
    boxed(service_fn(move |request: Request<B>| {
        let script = script.clone();
        async move {
            let Some(event) = request.extensions().get::<Event>() else {
                let reply = misconfigured("add a BondifyLayer");
                return Ok(response::<Full<Bytes>>(reply));
            };
            let code = script.handle(event).await.map_err(io::Error::other)?;
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            Ok(response)
        }
    }))
}

fn status(code: u16) -> Answer {
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn boxed<S, B, ResB>(service: S) -> Route<B>
where
    S: Service<Request<B>, Response = Response<ResB>, Error = io::Error, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: Send + 'static,
    ResB: http_body::Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
{
    BoxCloneSyncService::new(service.map_response(|response| response.map(|body| body.boxed())))
}

bondify_testkit::http_suite!(Hyper);
