use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{Error, backend::Backend, reading::Readings, transport::Resolver};

/// The state that every request handler shares.
pub(crate) struct App {
    pub(crate) backend: Arc<Backend>,
    /// The emulator's base URL, without a slash at the end.
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) developer_token: String,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) readings: Readings,
    pub(crate) resolver: Resolver,
    pub(crate) stopped: CancellationToken,
}

impl App {
    /// An answer of Bondify's API, in the forms of the readings.
    pub(crate) fn answer(&self, mut answer: Value) -> Json<Value> {
        self.readings.apply(&mut answer);
        Json(answer)
    }

    /// The URL that a user opens to log in.
    pub(crate) fn deeplink(&self, session_token: &str) -> String {
        format!("{}{}", self.url, self.deeplink_path(session_token))
    }

    /// The path and query of [`deeplink`](Self::deeplink).
    pub(crate) fn deeplink_path(&self, session_token: &str) -> String {
        format!("/bot?start={session_token}")
    }
}

/// A JSON body of any content type. An empty body is read as `null`.
pub(crate) struct Input<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Input<T> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Error> {
        let body = Bytes::from_request(request, app).await;
        let body = body.map_err(|_: BytesRejection| Error::BadRequest("the body is too large"))?;
        let json = if body.is_empty() { b"null" } else { &body[..] };
        let input = serde_json::from_slice(json);
        input.map(Self).map_err(|_| Error::BadRequest("the body is not valid JSON for this call"))
    }
}
