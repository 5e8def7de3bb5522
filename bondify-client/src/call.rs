use std::time::SystemTime;

use reqwest::{RequestBuilder, Response, header::DATE};
use serde::de::DeserializeOwned;

use crate::{Client, Error};

/// Sends a request and parses its JSON response.
pub(crate) async fn call<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Error> {
    call_dated(request).await.map(|(answer, _date)| answer)
}

/// Sends a request and parses its JSON response. Returns the server's time of the response, too.
pub(crate) async fn call_dated<T: DeserializeOwned>(
    request: RequestBuilder,
) -> Result<(T, Option<SystemTime>), Error> {
    let mut response = accepted(request).await?;
    let date = response.headers().get(DATE).and_then(|value| value.to_str().ok());
    let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let answer = serde_json::from_slice(&read(&mut response).await?);
    Ok((answer.map_err(|error| Error::malformed(&error))?, date))
}

/// Sends a request and reads the body of its response.
pub(crate) async fn send(request: RequestBuilder) -> Result<Vec<u8>, Error> {
    read(&mut accepted(request).await?).await
}

/// Sends a request and returns a response with a status of 2xx, without its body.
pub(crate) async fn accepted(request: RequestBuilder) -> Result<Response, Error> {
    let mut response = request.send().await.map_err(Error::transport)?;
    if response.status().is_success() {
        return Ok(response);
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
