//! The HTTP contract suite against salvo, with the adapter of this example.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bondify_salvo::{BondifyEvent, Hook};
use bondify_testkit::{
    Script,
    http_suite::{Adapter, App, Attached, Body, PATH, PROJECTS_PATH, Server, two_projects},
};
use http_body_util::BodyExt;
use salvo::prelude::*;
use serde_json::Value;

struct Salvo;

impl Adapter for Salvo {
    async fn serve(App { bondify, script, attached, .. }: App) -> Option<Server> {
        let on_event = OnEvent(script.clone());
        let app = match attached {
            Attached::Once => Router::with_path(PATH).post(Hook::new(&bondify, on_event)),
            Attached::Never => Router::with_path(PATH).post(on_event),
            Attached::Twice => {
                Router::with_path(PATH).post(Hook::new(&bondify, Hook::new(&bondify, on_event)))
            }
            Attached::Everywhere => Router::with_path("{**}").goal(Hook::new(&bondify, on_event)),
            Attached::ForProjects => Router::with_path(format!("{PROJECTS_PATH}/{{id}}"))
                .post(Hook::new(two_projects(&bondify), on_event)),
            Attached::Reading(body) => {
                Router::with_path(PATH).post(Hook::new(&bondify, Reading(script, body)))
            }
        };
        let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
        let address = acceptor.local_addr().unwrap();
        Some(Server::new(address, salvo::Server::new(acceptor).serve(app)))
    }
}

struct OnEvent(Script);

#[handler]
impl OnEvent {
    async fn handle(&self, event: BondifyEvent) -> StatusCode {
        let status = self.0.handle(&event).await;
        status.map_or(StatusCode::INTERNAL_SERVER_ERROR, |it| StatusCode::from_u16(it).unwrap())
    }
}

/// Reads the body and does not take the event.
struct Reading(Script, Body);

#[handler]
impl Reading {
    async fn handle(&self, request: &mut Request) -> StatusCode {
        let is_read = match self.1 {
            Body::Nothing | Body::Tagged => true,
            Body::Bytes | Body::Text => request.payload().await.is_ok(),
            Body::Json => request.parse_json::<Value>().await.is_ok(),
            Body::Form => request.form_data().await.is_ok(),
            Body::Stream => request.take_body().collect().await.is_ok(),
        };
        if !is_read {
            return StatusCode::UNSUPPORTED_MEDIA_TYPE;
        }
        self.0.without_event();
        StatusCode::OK
    }
}

bondify_testkit::http_suite!(Salvo);
