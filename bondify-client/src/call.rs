use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::{Client, Error};

/// Sends a request and parses its JSON response.
pub(crate) async fn call<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Error> {
    let body = send(request).await?;
    serde_json::from_slice(&body).map_err(|error| Error::malformed(&error))
}

/// Sends a request and reads the body of its response.
pub(crate) async fn send(request: RequestBuilder) -> Result<Vec<u8>, Error> {
    let mut response = request.send().await.map_err(Error::transport)?;
    if response.status().is_success() {
        return read(&mut response).await;
    }
    // The status is enough for a refusal, even if its body does not arrive.
    let body = read(&mut response).await.unwrap_or_default();
    Err(Error::refused(response.status(), response.headers(), &body))
}

async fn read(response: &mut Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Error::transport)? {
        if body.len() + chunk.len() > Client::MAX_RESPONSE_BYTES {
            return Err(Error::too_large(Client::MAX_RESPONSE_BYTES));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
