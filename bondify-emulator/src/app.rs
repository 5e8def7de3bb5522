use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    middleware,
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{Error, backend::Backend, control_api, developer_api, guard, pages, public_api};

/// What every request handler has at hand.
pub(crate) struct App {
    pub(crate) backend: Arc<Backend>,
    /// Where the emulator is, without a slash at the end.
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) developer_token: String,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) stopped: CancellationToken,
}

/// The whole emulator as a service.
pub(crate) fn router(app: Arc<App>) -> Router {
    let private = Router::new()
        .merge(developer_api::routes())
        .merge(control_api::routes())
        .merge(pages::routes())
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(middleware::from_fn(guard::same_origin_only));
    public_api::routes()
        .merge(private)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::known_host_only))
        .with_state(app)
}

impl App {
    /// Where the user goes to log in.
    pub(crate) fn deeplink(&self, session_token: &str) -> String {
        format!("{}{}", self.url, self.deeplink_path(session_token))
    }

    /// The same without the emulator's own address.
    pub(crate) fn deeplink_path(&self, session_token: &str) -> String {
        format!("/bot?start={session_token}")
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).expect("is a status");
        let body = Json(json!({"error": self.to_string(), "code": self.code()}));
        let mut response = (status, body).into_response();
        if let Self::RateLimited { retry_after } = self {
            let seconds = retry_after.as_millis().div_ceil(1000).max(1) as u64;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A JSON body, whatever its content type; no body at all is `null`.
pub(crate) struct Input<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Input<T> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Error> {
        let body = Bytes::from_request(request, app).await;
        let body = body.map_err(|_: BytesRejection| Error::BadRequest("the body is too large"))?;
        let json = if body.is_empty() { b"null" } else { &body[..] };
        let input = serde_json::from_slice(json);
        input.map(Self).map_err(|_| Error::BadRequest("the body is not the JSON that this takes"))
    }
}
