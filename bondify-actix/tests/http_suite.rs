//! The HTTP contract suite against actix-web.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use actix_web::{
    HttpResponse, Route,
    web::{self, Data},
};
use bondify_actix::BondifyExt;
use bondify_testkit::{
    Script,
    http_suite::{Adapter, App, Attached, Body, PATH, PROJECTS_PATH, Server, two_projects},
};
use handler::on_event;
use serve::serve;

struct Actix;

impl Adapter for Actix {
    async fn serve(App { bondify, script, attached, .. }: App) -> Option<Server> {
        Some(serve(script, move |config| {
            let route = web::post().to(on_event);
            let once = || web::resource(PATH).wrap(bondify.middleware());
            match attached {
                Attached::Once => config.service(once().route(route)),
                Attached::Never => config.service(web::resource(PATH).route(route)),
                Attached::Everywhere => config.service(
                    web::scope("")
                        .wrap(bondify.middleware())
                        .service(web::resource(PATH).route(route)),
                ),
                Attached::ForProjects => {
                    let resource = web::resource(format!("{PROJECTS_PATH}/{{id}}"));
                    config.service(resource.wrap(two_projects(&bondify).middleware()).route(route))
                }
                Attached::Reading(body) => config.service(once().route(reading(body))),
                Attached::Twice => config.service(once().route(route.wrap(bondify.middleware()))),
            };
        }))
    }
}

fn reading(body: Body) -> Route {
    async fn handler<T>(script: Data<Script>, _body: T) -> HttpResponse {
        script.without_event();
        HttpResponse::Ok().finish()
    }
    match body {
        Body::Nothing => web::post().to(handler::<()>),
        Body::Bytes => web::post().to(handler::<web::Bytes>),
        Body::Text => web::post().to(handler::<String>),
        Body::Json => web::post().to(handler::<web::Json<serde_json::Value>>),
        Body::Form => web::post().to(handler::<web::Form<serde_json::Value>>),
        Body::Stream => web::post().to(handler::<web::Payload>),
    }
}

bondify_testkit::http_suite!(Actix);

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_behind_nginx_is_refused() {
    let case = bondify_testkit::http_suite::an_oversized_body_behind_nginx_is_refused::<Actix>();
    bondify_testkit::within_a_minute(case).await;
}
