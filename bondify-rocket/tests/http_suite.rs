//! The HTTP contract suite against Rocket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use bondify_rocket::{Bondify, BondifyEvent, BondifyExt, Projects, Reply, Secret};
use bondify_testkit::{
    Script,
    http_suite::{Adapter, App, Attached, PROJECTS_PATH, Server, project},
};
use handler::{BASE, answer, on_event};
use rocket::{Request, State, post, response::status::Custom, routes};
use serve::{rocket, serve};

struct OnRocket;

impl Adapter for OnRocket {
    // Rocket 0.5 does not answer 405.
    const OTHER_METHOD_STATUS: u16 = 404;

    async fn serve(App { bondify, script, attached, .. }: App) -> Option<Server> {
        let rocket = rocket(script);
        serve(match attached {
            // Only routes are mounted through it.
            Attached::Everywhere => return None,
            Attached::ForProjects => {
                let projects = ById(bondify.clone());
                let routes = routes![of_project];
                rocket.attach(bondify.mount_for_projects(PROJECTS_PATH, routes, projects))
            }
            Attached::Once => rocket.attach(bondify.mount(BASE, routes![on_event])),
            // It launches only because another route is mounted through Bondify.
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

/// Chooses the project by the path.
struct ById(Bondify);

#[rocket::async_trait]
impl Projects for ById {
    async fn choose(&self, request: &Request<'_>) -> Result<Bondify, Reply> {
        let id = request.uri().path().segments().last().unwrap_or_default();
        project(&self.0, id).await
    }
}

#[post("/<_id>", data = "<event>")]
async fn of_project(
    _id: &str,
    event: BondifyEvent,
    script: &State<Script>,
) -> Result<Custom<()>, std::io::Error> {
    answer(event, script).await
}

bondify_testkit::http_suite!(OnRocket);

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_behind_nginx_is_refused() {
    let case = bondify_testkit::http_suite::an_oversized_body_behind_nginx_is_refused::<OnRocket>();
    bondify_testkit::within_a_minute(case).await;
}
