//! The HTTP contract suite against actix-web.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use actix_web::web;
use bondify_actix::BondifyExt;
use bondify_testkit::http_suite::{Adapter, App, Attached, PATH, Server};
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
                Attached::Twice => config.service(once().route(route.wrap(bondify.middleware()))),
            };
        }))
    }
}

bondify_testkit::http_suite!(Actix);
