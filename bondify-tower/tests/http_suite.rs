//! The HTTP contract suite against a plain hyper server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod serve;

use std::io;

use bondify_testkit::{
    Script,
    http_suite::{Adapter, App, Attached, PATH, PROJECTS_PATH, Server, two_projects},
};
use bondify_tower::{Bondify, BondifyEvent, BondifyExt};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serve::{Answer, serve};
use tower::{ServiceExt, layer::Layer, service_fn, util::BoxCloneSyncService};

type Route<B> = BoxCloneSyncService<Request<B>, Answer, io::Error>;

struct Hyper;

impl Adapter for Hyper {
    async fn serve(App { bondify, script, attached, .. }: App) -> Option<Server> {
        let route = route(&bondify, script, attached);
        Some(match attached {
            Attached::Everywhere => serve(move |request| answer(route.clone(), request)).await,
            _ => serve(move |request| dispatch(route.clone(), request)).await,
        })
    }
}

/// A router of one route, since hyper has none.
async fn dispatch(route: Route<Incoming>, request: Request<Incoming>) -> Answer {
    assert!(request.uri().path() == PATH || request.uri().path().starts_with(PROJECTS_PATH));
    if request.method() != Method::POST {
        return status(405);
    }
    answer(route, request).await
}

/// hyper would drop the connection on an error of the route; it becomes a 500.
async fn answer(route: Route<Incoming>, request: Request<Incoming>) -> Answer {
    route.oneshot(request).await.unwrap_or_else(|_| status(500))
}

fn route(bondify: &Bondify, script: Script, attached: Attached) -> Route<Incoming> {
    let once = bondify.layer::<Full<Bytes>>();
    let twice = bondify.layer::<Full<Bytes>>();
    match attached {
        // The service gets the body as bytes, whatever it makes of them.
        Attached::Reading(_) => BoxCloneSyncService::new(once.layer(reading(script))),
        Attached::Once | Attached::Everywhere => {
            BoxCloneSyncService::new(once.layer(handler(script)))
        }
        Attached::Never => BoxCloneSyncService::new(handler(script)),
        Attached::ForProjects => BoxCloneSyncService::new(
            two_projects(bondify).layer::<Full<Bytes>>().layer(handler(script)),
        ),
        Attached::Twice => BoxCloneSyncService::new(twice.layer(once.layer(handler(script)))),
    }
}

fn handler<B: Send + 'static>(script: Script) -> Route<B> {
    BoxCloneSyncService::new(service_fn(move |request: Request<B>| {
        let script = script.clone();
        async move {
            let event = match BondifyEvent::from_extensions(request.extensions()) {
                Ok(event) => event,
                Err(rejection) => return Ok(rejection.into()),
            };
            let code = script.handle(&event).await.map_err(io::Error::other)?;
            let mut response = Response::default();
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            Ok(response)
        }
    }))
}

/// A service that does not look for the event.
fn reading(script: Script) -> Route<Full<Bytes>> {
    BoxCloneSyncService::new(service_fn(move |request: Request<Full<Bytes>>| {
        let script = script.clone();
        async move {
            script.without_event();
            Ok(Response::new(request.into_body()))
        }
    }))
}

fn status(code: u16) -> Answer {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

bondify_testkit::http_suite!(Hyper);

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_behind_nginx_is_refused() {
    let case = test_engines::an_oversized_body_behind_nginx_is_refused::<Hyper>();
    bondify_testkit::within_a_minute(case).await;
}
