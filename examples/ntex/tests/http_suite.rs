//! The HTTP contract suite against ntex, with the adapter of this example.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{future::pending, marker::PhantomData, net::TcpListener, sync::mpsc, thread};

use bondify_ntex::{BondifyEvent, Hook};
use bondify_testkit::{
    Script,
    http_suite::{Adapter, App, Attached, Body, PATH, PROJECTS_PATH, Server, two_projects},
};
use ntex::{
    http::{Payload, StatusCode},
    rt::{DefaultRuntime, System},
    util::Bytes,
    web::{
        self, DefaultError, Error, FromRequest, HttpRequest, HttpResponse, HttpServer, Route,
        ServiceConfig, error::ErrorInternalServerError, guard, types,
    },
};
use serde_json::Value;

struct Ntex;

impl Adapter for Ntex {
    /// Of a resource that is guarded.
    const OTHER_METHOD_STATUS: u16 = 404;

    const ANSWERS_BROKEN_BODIES: bool = true;

    async fn serve(app: App) -> Option<Server> {
        Some(match app.attached {
            Attached::Everywhere => serve(move |listener| {
                let around_all = async move || {
                    web::App::new()
                        .middleware(Hook::new(&app.bondify))
                        .state(app.script.clone())
                        .service(web::resource(PATH).route(web::post().to(on_event)))
                };
                HttpServer::new(around_all).workers(1).listen(listener).unwrap().run()
            }),
            _ => serve(move |listener| {
                let attached = async move || {
                    let app = app.clone();
                    let state = app.script.clone();
                    web::App::new().state(state).configure(move |config| attach(config, &app))
                };
                HttpServer::new(attached).workers(1).listen(listener).unwrap().run()
            }),
        })
    }
}

fn attach(config: &mut ServiceConfig, App { bondify, attached, .. }: &App) {
    let resource = |path: &str| web::resource(path).guard(guard::Post());
    let route = web::post().to(on_event);
    let hook = || Hook::new(bondify);
    match attached {
        Attached::Once => config.service(resource(PATH).middleware(hook()).route(route)),
        Attached::Never | Attached::Everywhere => config.service(resource(PATH).route(route)),
        Attached::Twice => {
            config.service(resource(PATH).middleware(hook()).middleware(hook()).route(route))
        }
        Attached::ForProjects => config.service(
            resource(&format!("{PROJECTS_PATH}/{{id}}"))
                .middleware(Hook::new(two_projects(bondify)))
                .route(route),
        ),
        Attached::Reading(body) => {
            config.service(resource(PATH).middleware(hook()).route(reading(*body)))
        }
    };
}

async fn on_event(
    event: BondifyEvent,
    script: types::State<Script>,
) -> Result<HttpResponse, Error> {
    let status = script.handle(&event).await.map_err(ErrorInternalServerError)?;
    Ok(HttpResponse::new(StatusCode::from_u16(status).unwrap()))
}

fn reading(body: Body) -> Route<DefaultError> {
    async fn handler<T>(script: types::State<Script>, _body: T) -> HttpResponse {
        script.without_event();
        HttpResponse::Ok().finish()
    }
    match body {
        Body::Nothing => web::post().to(handler::<HttpRequest>),
        Body::Bytes => web::post().to(handler::<Bytes>),
        Body::Text => web::post().to(handler::<String>),
        Body::Json => web::post().to(handler::<types::Json<Value>>),
        Body::Form => web::post().to(handler::<types::Form<Value>>),
        Body::Stream => web::post().to(handler::<types::Payload>),
        Body::Tagged => web::post().to(handler::<Tagged<BondifyEvent>>),
    }
}

/// An extractor that names a type, and takes the body as bytes.
struct Tagged<T>(PhantomData<T>);

impl<T> FromRequest<DefaultError> for Tagged<T> {
    type Error = Error;

    async fn from_request(request: &HttpRequest, payload: &mut Payload) -> Result<Self, Error> {
        let _bytes = <Bytes as FromRequest<DefaultError>>::from_request(request, payload).await?;
        Ok(Self(PhantomData))
    }
}

/// Serves on a thread and a runtime of its own, as `#[ntex::main]` does.
fn serve(run: impl FnOnce(TcpListener) -> ntex::server::Server + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (started, starting) = mpsc::channel();
    thread::spawn(move || {
        System::new("server", DefaultRuntime).block_on(async move {
            let server = run(listener);
            started.send(server.clone()).unwrap();
            server.await.unwrap();
        });
    });
    let stopper = Stopper(starting.recv().unwrap());
    Server::new(address, async move {
        let _stopper = stopper;
        pending().await
    })
}

struct Stopper(ntex::server::Server);

impl Drop for Stopper {
    fn drop(&mut self) {
        // The call sends the command. The future, which is dropped, only waits for its end.
        drop(self.0.stop(false));
    }
}

bondify_testkit::http_suite!(Ntex);
