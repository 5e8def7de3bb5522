use std::{convert::Infallible, future::Future};

use bondify_core::{
    Bondify, Event, Reply, SIGNATURE_HEADER, Secret, Verifier, VerifyError,
    adapter::{Head, Headers, RequestHead},
};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request};

use crate::Delivery;

/// A request as Bondify sends it, or a forged one.
///
/// ```
/// use bondify_core::Secret;
/// use bondify_testkit::Payload;
///
/// let secret = Secret::new("whsec_test")?;
/// let genuine = Payload::cancelled().signed_with(&secret);
/// let forged = genuine.clone().tampered();
/// let unsigned = genuine.clone().without(bondify_core::SIGNATURE_HEADER);
///
/// // For `tower::ServiceExt::oneshot` and the like:
/// let request: http::Request<String> =
///     genuine.to_http("/webhooks/bondify", |body| String::from_utf8_lossy(&body).into());
/// # assert_eq!(request.method(), "POST");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct WebhookRequest {
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl WebhookRequest {
    /// Creates a request with any body, signed with `secret`.
    ///
    /// ```
    /// use bondify_core::Secret;
    /// use bondify_testkit::WebhookRequest;
    ///
    /// let secret = Secret::new("whsec_test")?;
    /// let no_event = WebhookRequest::signed("[]", &secret);
    /// assert!(no_event.verified_by(&secret).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn signed(body: impl Into<Bytes>, secret: &Secret) -> Self {
        let body = body.into();
        let signature = secret.sign(&body).to_string();
        Self { headers: Vec::new(), body }
            .with("content-type", "application/json")
            .with(SIGNATURE_HEADER, signature)
    }

    /// Changes the body, so that the signature is wrong.
    ///
    /// ```
    /// use bondify_core::Secret;
    /// use bondify_testkit::Payload;
    ///
    /// let secret = Secret::new("whsec_test")?;
    /// let forged = Payload::confirmed().signed_with(&secret).tampered();
    /// assert!(forged.verified_by(&secret).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tampered(mut self) -> Self {
        self.body = [&self.body[..], b" "].concat().into();
        self
    }

    /// Adds a header.
    ///
    /// ```
    /// use bondify_core::Secret;
    /// use bondify_testkit::Payload;
    ///
    /// let secret = Secret::new("whsec_test")?;
    /// let request = Payload::confirmed().signed_with(&secret);
    /// let request = request.with("x-forwarded-for", "203.0.113.7").without("content-type");
    /// # drop(request);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Removes the headers called `name`, which must be in lower case.
    ///
    /// ```
    /// use bondify_core::{Bondify, Reply, SIGNATURE_HEADER, Secret};
    /// use bondify_testkit::Payload;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let secret = Secret::new("whsec_test")?;
    /// let bondify = Bondify::builder(secret.clone()).build()?;
    /// let unsigned = Payload::confirmed().signed_with(&secret).without(SIGNATURE_HEADER);
    /// assert_eq!(unsigned.receive_by(&bondify).await.unwrap_err(), Reply::MissingSignature);
    /// # Ok(())
    /// # }
    /// ```
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// Replaces the signature by the result of `change`.
    ///
    /// ```
    /// use bondify_core::Secret;
    /// use bondify_testkit::Payload;
    ///
    /// let secret = Secret::new("whsec_test")?;
    /// let request = Payload::confirmed().signed_with(&secret);
    /// let truncated = request.signature_as(|signature| signature[..32].to_owned());
    /// assert_eq!(truncated.signature().len(), 32);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn signature_as(self, change: impl FnOnce(&str) -> String) -> Self {
        let signature = change(self.signature());
        self.without(SIGNATURE_HEADER).with(SIGNATURE_HEADER, signature)
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the headers: names in lower case, and values.
    ///
    /// ```
    /// use bondify_testkit::WebhookRequest;
    ///
    /// /// Sends the request with any HTTP client.
    /// fn to_curl(request: &WebhookRequest, url: &str) -> Vec<String> {
    ///     let headers = request.headers().iter().flat_map(|(name, value)| {
    ///         ["-H".to_owned(), format!("{name}: {value}")]
    ///     });
    ///     let body = String::from_utf8_lossy(request.body()).into_owned();
    ///     headers.chain(["--data-binary".to_owned(), body, url.to_owned()]).collect()
    /// }
    /// ```
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Returns the value of the signature header. Empty if it was removed.
    #[must_use]
    pub fn signature(&self) -> &str {
        let mut headers = self.headers.iter();
        headers.find(|(name, _)| name == SIGNATURE_HEADER).map_or("", |(_, value)| value)
    }

    /// Verifies the request and returns its event, for tests that call a handler directly.
    ///
    /// ```
    /// use bondify_core::{Event, Secret};
    /// use bondify_testkit::Payload;
    ///
    /// async fn on_event(event: Event) -> u16 {
    ///     if event.user().is_some() { 204 } else { 500 }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let secret = Secret::new("whsec_test")?;
    /// let event = Payload::confirmed().signed_with(&secret).verified_by(&secret)?;
    /// assert_eq!(on_event(event).await, 204);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if `secret` did not sign the request, if its body is not an event, and if the event
    /// is older than 24 hours or more than 5 minutes ahead.
    pub fn verified_by(&self, secret: &Secret) -> Result<Event, VerifyError> {
        Verifier::new(secret.clone()).verify(self.body.clone(), self.signature())
    }

    /// Makes `bondify` receive the request as an adapter does, without a server.
    ///
    /// ```
    /// use bondify_core::{Bondify, Reply, Secret};
    /// use bondify_testkit::Payload;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bondify = Bondify::builder(Secret::new("whsec_test")?).build()?;
    /// let forged = Payload::confirmed().signed_with(&Secret::new("whsec_other")?);
    /// assert_eq!(forged.receive_by(&bondify).await.unwrap_err(), Reply::InvalidSignature);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The [`Reply`] to send if the delivery is refused or is a duplicate.
    pub fn receive_by(
        &self,
        bondify: &Bondify,
    ) -> impl Future<Output = Result<Delivery, Reply>> + Send + use<> {
        let body = stream::iter([Ok::<_, Infallible>(self.body.clone())]);
        let received = bondify.claim(Head::of(self), body);
        async move { received.await.map(|(event, claim)| Delivery::new(event, claim)) }
    }

    /// Converts the request for services that use `http` 1. `body` converts its body.
    ///
    /// ```
    /// use axum::body::Body;
    /// use bondify_core::Secret;
    /// use bondify_testkit::Payload;
    ///
    /// let delivery = Payload::confirmed().signed_with(&Secret::new("whsec_test")?);
    /// let request = delivery.to_http("/webhooks/bondify", Body::from); // for `Router::oneshot`
    /// assert_eq!(request.uri().path(), "/webhooks/bondify");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `uri` or an added header is malformed.
    pub fn to_http<B>(&self, uri: &str, body: impl FnOnce(Bytes) -> B) -> Request<B> {
        let mut request = Request::builder().method(Method::POST).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(body(self.body.clone())).expect("the URI and the headers are valid")
    }

    /// Returns the request as bytes of HTTP/1.1.
    ///
    /// ```
    /// use bondify_core::Secret;
    /// use bondify_testkit::{Connection, Payload};
    ///
    /// async fn send_half(connection: &mut Connection, secret: &Secret) -> std::io::Result<()> {
    ///     let bytes = Payload::confirmed().signed_with(secret).to_http1("/webhooks/bondify");
    ///     connection.send(&bytes[..bytes.len() / 2]).await
    /// }
    /// ```
    #[must_use]
    pub fn to_http1(&self, path: &str) -> Bytes {
        let length = format!("content-length: {}\r\n", self.body.len());
        [self.head(path, &length).as_bytes(), &self.body].concat().into()
    }

    /// Returns the request as bytes of HTTP/1.1, with the body in chunks of `size` bytes.
    #[must_use]
    pub fn to_http1_chunked(&self, path: &str, size: usize) -> Bytes {
        let mut bytes = self.head(path, "transfer-encoding: chunked\r\n").into_bytes();
        for chunk in self.body.chunks(size) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes.into()
    }

    fn head(&self, path: &str, framing: &str) -> String {
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{framing}");
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head + "\r\n"
    }
}

impl RequestHead for WebhookRequest {
    fn method(&self) -> &str {
        "POST"
    }

    fn path(&self) -> &str {
        "/"
    }
}

impl Headers for WebhookRequest {
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
        let values = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        values.for_each(|(_, value)| visit(value.as_bytes()));
    }
}
