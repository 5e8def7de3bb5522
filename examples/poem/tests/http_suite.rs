//! The HTTP contract suite against poem, a framework without an adapter.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::ready;

use bondify_testkit::{
    Script,
    http_suite::{Adapter, App, Attached, PATH, PROJECTS_PATH, Server, two_projects},
};
use bondify_tower::{BondifyEvent, BondifyExt};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use poem::{
    Route, RouteMethod,
    endpoint::TowerCompatExt,
    error::InternalServerError,
    listener::{Acceptor, Listener, TcpListener},
    post,
};
use tower::{Layer, ServiceExt, service_fn};

struct Poem;

impl Adapter for Poem {
    async fn serve(App { bondify, script, attached, .. }: App) -> Option<Server> {
        let layer = || bondify.layer::<Full<Bytes>>();
        let reading = {
            let script = script.clone();
            service_fn(move |request: Request<Full<Bytes>>| {
                script.without_event();
                ready(Ok::<_, poem::Error>(Response::new(request.into_body())))
            })
        };
        let handler = service_fn(move |request| on_event(script.clone(), request));
        let path = match attached {
            Attached::Everywhere => "/".to_owned(),
            Attached::ForProjects => format!("{PROJECTS_PATH}/:id"),
            _ => PATH.to_owned(),
        };
        let app = Route::new().at(
            path,
            match attached {
                Attached::Everywhere => RouteMethod::new()
                    .get(layer().layer(handler.clone()).compat())
                    .post(layer().layer(handler).compat()),
                Attached::ForProjects => {
                    let layer = two_projects(&bondify).layer::<Full<Bytes>>();
                    post(layer.layer(handler).compat())
                }
                Attached::Reading(_) => post(layer().layer(reading).compat()),
                Attached::Once => post(layer().layer(handler).compat()),
                // The handler takes a body of another type, and finds no event.
                Attached::Never => post(handler.map_request(without_body).compat()),
                Attached::Twice => post(layer().layer(layer().layer(handler)).compat()),
            },
        );
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let address = *acceptor.local_addr()[0].as_socket_addr().unwrap();
        Some(Server::new(address, async {
            poem::Server::new_with_acceptor(acceptor).run(app).await.unwrap();
        }))
    }
}

fn without_body<B>(request: Request<B>) -> Request<Full<Bytes>> {
    request.map(|_| Full::default())
}

async fn on_event(
    script: Script,
    request: Request<Full<Bytes>>,
) -> Result<Response<Full<Bytes>>, poem::Error> {
    let event = match BondifyEvent::from_extensions(request.extensions()) {
        Ok(event) => event,
        Err(rejection) => return Ok(rejection.into()),
    };
    let mut response = Response::default();
    let status = script.handle(&event).await.map_err(InternalServerError)?;
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

bondify_testkit::http_suite!(Poem);
