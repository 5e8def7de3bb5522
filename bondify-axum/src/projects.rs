use std::marker::PhantomData;

use axum::{
    extract::{FromRequestParts, Request},
    handler::Handler,
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use bondify_core::{Bondify, Reply, adapter};
use futures_util::future::BoxFuture;

use crate::{BondifyLayer, handler::BondifyHandler};

/// Routes `POST` to `handler` for a server of several projects. Each request is received through the
/// [`Bondify`] that `choose` returns.
///
/// `choose` takes an extractor, or several as a tuple, such as the path and the state. It finds the
/// project's secret, for instance in a database, and returns [`Bondify::for_project`], or an error
/// such as [`Reply::ProjectNotFound`], which is answered with 404. The body is not read before.
/// [`drain`](Bondify::drain) of the one `Bondify` covers all projects that are derived from it.
///
/// ```
/// use axum::{Router, extract::{Path, State}, http::StatusCode};
/// use bondify_axum::{Bondify, BondifyEvent, Reply, Secret, post_for_projects};
///
/// #[derive(Clone)]
/// struct App {
///     bondify: Bondify,
/// }
///
/// impl App {
///     async fn secret_of(&self, _project: &str) -> Option<Secret> {
///         None // from a database
///     }
/// }
///
/// async fn project(
///     (Path(id), State(app)): (Path<String>, State<App>),
/// ) -> Result<Bondify, Reply> {
///     let secret = app.secret_of(&id).await.ok_or(Reply::ProjectNotFound)?;
///     Ok(app.bondify.for_project(id, secret, []))
/// }
///
/// async fn on_event(event: BondifyEvent, Path(project): Path<String>) -> StatusCode {
///     println!("{event} of {project}");
///     StatusCode::NO_CONTENT
/// }
///
/// fn router(app: App) -> Router {
///     Router::new()
///         .route("/webhooks/{project}", post_for_projects(project, on_event))
///         .with_state(app)
/// }
/// ```
pub fn post_for_projects<C, X, F, H, T, S>(choose: C, handler: H) -> MethodRouter<S>
where
    C: Fn(X) -> F + Clone + Send + Sync + 'static,
    X: FromRequestParts<S> + Send + 'static,
    F: Future<Output = Result<Bondify, Reply>> + Send + 'static,
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    post(ProjectHandler { choose, handler, extracted: PhantomData })
}

/// A handler behind the layer of the project that is chosen for a request.
struct ProjectHandler<C, X, H> {
    choose: C,
    handler: H,
    extracted: PhantomData<fn() -> X>,
}

impl<C: Clone, X, H: Clone> Clone for ProjectHandler<C, X, H> {
    fn clone(&self) -> Self {
        let Self { choose, handler, extracted } = self;
        Self { choose: choose.clone(), handler: handler.clone(), extracted: *extracted }
    }
}

impl<C, X, F, H, T, S> Handler<(X, T), S> for ProjectHandler<C, X, H>
where
    C: Fn(X) -> F + Clone + Send + Sync + 'static,
    X: FromRequestParts<S> + Send + 'static,
    F: Future<Output = Result<Bondify, Reply>> + Send + 'static,
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    type Future = BoxFuture<'static, Response>;

    fn call(self, request: Request, state: S) -> Self::Future {
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let extracted = match X::from_request_parts(&mut head, &state).await {
                Ok(extracted) => extracted,
                Err(rejection) => return rejection.into_response(),
            };
            match adapter::choose((self.choose)(extracted)).await {
                Ok(bondify) => {
                    let layer = BondifyLayer::new(&bondify);
                    let handler = BondifyHandler { inner: self.handler, layer };
                    handler.call(Request::from_parts(head, body), state).await
                }
                Err(reply) => adapter::response(reply),
            }
        })
    }
}
