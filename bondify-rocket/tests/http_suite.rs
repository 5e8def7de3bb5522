//! The HTTP contract suite against Rocket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use bondify_rocket::{Bondify, BondifyExt, Secret};
use bondify_testkit::http_suite::{Adapter, App, Attached, Server};
use handler::{BASE, on_event};
use rocket::routes;
use serve::{rocket, serve};

struct OnRocket;

impl Adapter for OnRocket {
    // Rocket 0.5 knows no 405.
    const OTHER_METHOD_STATUS: u16 = 404;

    async fn serve(App { bondify, script, attached, .. }: App) -> Option<Server> {
        let rocket = rocket(script);
        serve(match attached {
            // Only routes are mounted through it.
            Attached::Everywhere => return None,
            Attached::Once => rocket.attach(bondify.mount(BASE, routes![on_event])),
            // Alone it would not launch; beside a route that is mounted it does.
            Attached::Never => {
                let other = Bondify::builder(Secret::new("whsec_other").unwrap()).build().unwrap();
                rocket
                    .mount(BASE, routes![on_event])
                    .attach(other.mount("/other", routes![on_event]))
            }
            // The routes collide.
            Attached::Twice => rocket
                .attach(bondify.mount(BASE, routes![on_event]))
                .attach(bondify.mount(BASE, routes![on_event])),
        })
        .await
    }
}

bondify_testkit::http_suite!(OnRocket);
