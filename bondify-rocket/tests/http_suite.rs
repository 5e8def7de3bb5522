//! The HTTP contract suite against Rocket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use std::{collections::HashMap, marker::PhantomData};

use bondify_rocket::{Bondify, BondifyEvent, BondifyExt, Secret};
use bondify_testkit::{
    Script,
    http_suite::{Adapter, App, Attached, Body, PROJECTS_PATH, Server, two_projects},
};
use handler::{BASE, answer, on_event};
use rocket::{
    Data, Request, Route, State,
    data::{self, FromData, ToByteUnit},
    form::Form,
    http::Status,
    outcome::Outcome,
    post,
    response::status::Custom,
    routes,
};
use serve::{rocket, serve};

struct OnRocket;

impl Adapter for OnRocket {
    // Rocket 0.5 does not answer 405.
    const OTHER_METHOD_STATUS: u16 = 404;

    async fn serve(App { bondify, script, attached, .. }: App) -> Option<Server> {
        let rocket = rocket(script);
        serve(match attached {
            // It launches none of these routes.
            Attached::Reading(body) => rocket.attach(bondify.mount(BASE, reading(body))),
            // Only routes are mounted through it.
            Attached::Everywhere => return None,
            Attached::ForProjects => {
                rocket.attach(two_projects(&bondify).mount(PROJECTS_PATH, routes![of_project]))
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

#[post("/<_id>", data = "<event>")]
async fn of_project(
    _id: &str,
    event: BondifyEvent,
    script: &State<Script>,
) -> Result<Custom<()>, std::io::Error> {
    answer(event, script).await
}

fn reading(body: Body) -> Vec<Route> {
    match body {
        Body::Nothing => routes![nothing],
        Body::Bytes => routes![bytes],
        Body::Text => routes![text],
        Body::Json => routes![json],
        Body::Form => routes![form],
        Body::Stream => routes![stream],
        Body::Tagged => routes![tagged],
    }
}

#[post("/bondify")]
fn nothing(script: &State<Script>) {
    script.without_event();
}

#[post("/bondify", data = "<_body>")]
fn bytes(_body: Vec<u8>, script: &State<Script>) {
    script.without_event();
}

#[post("/bondify", data = "<_body>")]
fn text(_body: String, script: &State<Script>) {
    script.without_event();
}

#[post("/bondify", data = "<_body>")]
fn json(_body: Json, script: &State<Script>) {
    script.without_event();
}

#[post("/bondify", data = "<_body>")]
fn form(_body: Form<HashMap<String, String>>, script: &State<Script>) {
    script.without_event();
}

#[post("/bondify", data = "<_body>")]
fn stream(_body: Data<'_>, script: &State<Script>) {
    script.without_event();
}

#[post("/bondify", data = "<_body>")]
fn tagged(_body: Tagged<BondifyEvent>, script: &State<Script>) {
    script.without_event();
}

/// A data guard that names a type, and takes the body as bytes.
struct Tagged<T>(PhantomData<T>);

#[rocket::async_trait]
impl<'r, T> FromData<'r> for Tagged<T> {
    type Error = std::io::Error;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> data::Outcome<'r, Self> {
        Vec::<u8>::from_data(request, data).await.map(|_| Self(PhantomData))
    }
}

/// A JSON body, as `rocket::serde::json::Json` takes it.
struct Json;

#[rocket::async_trait]
impl<'r> FromData<'r> for Json {
    type Error = serde_json::Error;

    async fn from_data(_: &'r Request<'_>, data: Data<'r>) -> data::Outcome<'r, Self> {
        let body = data.open(64.kibibytes()).into_bytes().await;
        match serde_json::from_slice::<serde_json::Value>(&body.unwrap()) {
            Ok(_) => Outcome::Success(Self),
            Err(error) => Outcome::Error((Status::UnprocessableEntity, error)),
        }
    }
}

bondify_testkit::http_suite!(OnRocket);

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_behind_nginx_is_refused() {
    let case = test_engines::an_oversized_body_behind_nginx_is_refused::<OnRocket>();
    bondify_testkit::within_a_minute(case).await;
}
