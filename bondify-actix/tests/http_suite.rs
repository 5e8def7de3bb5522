//! The HTTP contract suite against actix-web.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use std::marker::PhantomData;

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, Route,
    dev::Payload,
    web::{self, Data},
};
use bondify_actix::{BondifyEvent, BondifyExt};
use bondify_testkit::{
    Script,
    http_suite::{Adapter, App, Attached, Body, PATH, PROJECTS_PATH, Server, two_projects},
};
use futures_util::future::LocalBoxFuture;
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
        Body::Tagged => web::post().to(handler::<Tagged<BondifyEvent>>),
    }
}

/// An extractor that names a type, and takes the body as bytes.
struct Tagged<T>(PhantomData<T>);

impl<T: 'static> FromRequest for Tagged<T> {
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = web::Bytes::from_request(request, payload);
        Box::pin(async { bytes.await.map(|_| Self(PhantomData)) })
    }
}

bondify_testkit::http_suite!(Actix);

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_behind_nginx_is_refused() {
    let case = test_engines::an_oversized_body_behind_nginx_is_refused::<Actix>();
    bondify_testkit::within_a_minute(case).await;
}
