use std::marker::PhantomData;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequest, RawForm, Request, State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt};
use bondify_testkit::{
    Failure, Script,
    http_suite::{Adapter, App, Attached, Body, PATH, PROJECTS_PATH, Server, two_projects},
};
use tokio::net::TcpListener;

pub(crate) struct Axum;

impl Adapter for Axum {
    async fn serve(App { bondify, script, attached, .. }: App) -> Option<Server> {
        let app = |route| Router::new().route(PATH, route);
        let app = match attached {
            Attached::Once => app(bondify.post(on_event)),
            Attached::Never => app(post(on_event)),
            Attached::Twice => app(bondify.post(on_event).route_layer(bondify.layer())),
            Attached::Everywhere => app(post(on_event)).layer(bondify.layer()),
            Attached::ForProjects => {
                let path = format!("{PROJECTS_PATH}/{{id}}");
                Router::new().route(&path, two_projects(&bondify).post(on_event))
            }
            Attached::Reading(body) => app(reading(&bondify, body)),
        };
        let app = app.with_state(script);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Some(Server::new(address, async { axum::serve(listener, app).await.unwrap() }))
    }
}

fn reading(bondify: &Bondify, body: Body) -> MethodRouter<Script> {
    async fn handler<T>(State(script): State<Script>, _body: T) {
        script.without_event();
    }
    match body {
        Body::Nothing => bondify.post(async |State(script): State<Script>| script.without_event()),
        Body::Bytes => bondify.post(handler::<Bytes>),
        Body::Text => bondify.post(handler::<String>),
        Body::Json => bondify.post(handler::<Json<serde_json::Value>>),
        Body::Form => bondify.post(handler::<RawForm>),
        Body::Stream => post(handler::<Request>).route_layer(bondify.layer()),
        Body::Tagged => bondify.post(handler::<Tagged<BondifyEvent>>),
    }
}

/// An extractor that names a type, and takes the body as bytes.
struct Tagged<T>(PhantomData<T>);

impl<S: Send + Sync, T> FromRequest<S> for Tagged<T> {
    type Rejection = BytesRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, BytesRejection> {
        Bytes::from_request(request, state).await.map(|_| Self(PhantomData))
    }
}

async fn on_event(
    event: BondifyEvent,
    State(script): State<Script>,
) -> Result<StatusCode, HandlerError> {
    let status = script.handle(&event).await?;
    Ok(StatusCode::from_u16(status).unwrap())
}

struct HandlerError;

impl From<Failure> for HandlerError {
    fn from(_: Failure) -> Self {
        Self
    }
}

impl IntoResponse for HandlerError {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
