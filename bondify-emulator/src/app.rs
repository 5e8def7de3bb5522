use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{self, FromRequest, Request, rejection::BytesRejection},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{Error, backend::Backend, reading::Readings, state::State, transport::Resolver};

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

/// The extractor of the state.
pub(crate) type Shared = extract::State<Arc<App>>;

/// The answer to a call of an API.
pub(crate) type Answer = Result<Json<Value>, Error>;

impl App {
    /// An answer of Bondify's API, in the forms of the readings.
    pub(crate) fn answer(&self, mut answer: Value) -> Answer {
        self.readings.apply(&mut answer);
        Ok(Json(answer))
    }

    /// An answer of the control API: the result of `act`.
    pub(crate) fn answer_with<T: Serialize>(
        &self,
        act: impl FnOnce(&mut State) -> Result<T, Error>,
    ) -> Answer {
        self.backend.with(|state| act(state).map(|done| Json(json!(done))))
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
        serde_json::from_slice(json).map(Self).map_err(|_| Error::MALFORMED)
    }
}
