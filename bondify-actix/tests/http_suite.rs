//! The HTTP contract suite against actix-web.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use actix_web::web;
use bondify_actix::{BondifyExt, BondifyMiddleware};
use bondify_testkit::http_suite::{Adapter, App, Attached, PATH, PROJECTS_PATH, Server, project};
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
                    let bondify = bondify.clone();
                    let choose = move |id: web::Path<String>| {
                        let bondify = bondify.clone();
                        async move { project(&bondify, &id).await }
                    };
                    let resource = web::resource(format!("{PROJECTS_PATH}/{{id}}"));
                    config.service(
                        resource.wrap(BondifyMiddleware::for_projects(choose)).route(route),
                    )
                }
                Attached::Twice => config.service(once().route(route.wrap(bondify.middleware()))),
            };
        }))
    }
}

bondify_testkit::http_suite!(Actix);

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_behind_nginx_is_refused() {
    let case = bondify_testkit::http_suite::an_oversized_body_behind_nginx_is_refused::<Actix>();
    bondify_testkit::within_a_minute(case).await;
}
