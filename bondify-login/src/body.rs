use std::{convert::Infallible, fmt};

use bytes::Bytes;
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};

/// The body of a response.
#[expect(clippy::exhaustive_enums, reason = "an adapter has to send every kind")]
pub enum Body {
    /// The whole body.
    Full(Bytes),
    /// Server-sent events. Send each at once.
    Events(BoxStream<'static, Bytes>),
}

impl Body {
    /// Returns the body as a stream, for frameworks that take one.
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use bondify_login::adapter::Body;
    /// use bytes::Bytes;
    /// use futures_util::{Stream, StreamExt};
    /// use http::Response;
    ///
    /// /// A response of a framework whose bodies are boxed streams.
    /// fn respond(response: Response<Body>) -> Response<impl Stream<Item = Result<Bytes, Infallible>>> {
    ///     response.map(|body| body.into_stream().boxed())
    /// }
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        match self {
            Self::Full(bytes) => stream::iter([bytes]).boxed(),
            Self::Events(events) => events,
        }
        .map(Ok)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}
