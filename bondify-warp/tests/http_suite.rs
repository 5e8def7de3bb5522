//! The HTTP contract suite against warp.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handler;
mod serve;

use bondify_testkit::http_suite::{Adapter, App, Attached, Body, Server, two_projects};
use bondify_warp::{Bondify, BondifyExt};
use handler::on_event;
use serve::serve;
use warp::{Filter, filters::BoxedFilter};

struct Warp;

impl Adapter for Warp {
    async fn serve(App { bondify, script, attached, .. }: App) -> Option<Server> {
        let path = warp::path!("webhooks" / "bondify").and(warp::post());
        match attached {
            Attached::Once => {
                let on_event = move |event| on_event(event, script.clone());
                Some(serve(path.and(bondify.webhook(on_event))).await)
            }
            Attached::Everywhere => {
                let on_event = move |event| on_event(event, script.clone());
                Some(serve(warp::path::end().and(bondify.webhook(on_event))).await)
            }
            Attached::ForProjects => {
                let path = warp::path!("webhooks" / "projects" / String).and(warp::post());
                let path = path.map(drop).untuple_one();
                let on_event = move |event| on_event(event, script.clone());
                Some(serve(path.and(two_projects(&bondify).webhook(on_event))).await)
            }
            // A handler without Bondify, without the event or with another's response does not compile.
            Attached::Never | Attached::Twice | Attached::Reading(Body::Nothing | Body::Tagged) => {
                None
            }
            Attached::Reading(body) => {
                let on_event = move |_event| {
                    script.without_event();
                    std::future::ready(warp::reply())
                };
                Some(serve(path.and(reading(body)).and(bondify.webhook(on_event))).await)
            }
        }
    }
}

/// A filter that takes the body before Bondify can.
fn reading(body: Body) -> BoxedFilter<()> {
    match body {
        Body::Json => warp::body::json::<serde_json::Value>().map(drop).untuple_one().boxed(),
        Body::Form => warp::body::form::<serde_json::Value>().map(drop).untuple_one().boxed(),
        Body::Stream => warp::body::stream().map(drop).untuple_one().boxed(),
        Body::Nothing | Body::Bytes | Body::Text | Body::Tagged => {
            warp::body::bytes().map(drop).untuple_one().boxed()
        }
    }
}

bondify_testkit::http_suite!(Warp);

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_behind_nginx_is_refused() {
    let case = test_engines::an_oversized_body_behind_nginx_is_refused::<Warp>();
    bondify_testkit::within_a_minute(case).await;
}

/// The suite again, with a value of another filter.
mod composed {
    use super::*;

    struct Composed;

    impl Adapter for Composed {
        async fn serve(app: App) -> Option<Server> {
            if app.attached != Attached::Once {
                return Warp::serve(app).await;
            }
            let App { bondify, script, .. } = app;
            let script = warp::any().map(move || script.clone());
            let route = warp::path!("webhooks" / "bondify").and(warp::post()).and(script);
            Some(serve(bondify.webhook_with(route, on_event)).await)
        }
    }

    bondify_testkit::http_suite!(Composed);
}

fn _filters_are_clone_send_and_sync(bondify: &Bondify) -> impl Clone + Send + Sync + use<> {
    let route = warp::path::param::<String>();
    bondify.webhook_with(route, async |_, _| warp::reply())
}
