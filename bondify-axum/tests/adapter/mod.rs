use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use bondify_axum::{BondifyEvent, BondifyExt, post_for_projects};
use bondify_testkit::{
    Failure, Script,
    http_suite::{Adapter, App, Attached, PATH, PROJECTS_PATH, Server, project},
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
            Attached::ForProjects => Router::new().route(
                &format!("{PROJECTS_PATH}/{{id}}"),
                post_for_projects(
                    move |Path(id): Path<String>| {
                        let bondify = bondify.clone();
                        async move { project(&bondify, &id).await }
                    },
                    on_event,
                ),
            ),
        };
        let app = app.with_state(script);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Some(Server::new(address, async { axum::serve(listener, app).await.unwrap() }))
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
