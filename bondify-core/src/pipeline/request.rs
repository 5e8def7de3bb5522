//! Reads an HTTP request of any framework: the relevant headers and the body.

use std::{
    error::Error,
    iter, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::Stream;
use http_body_util::LengthLimitError;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    MalformedSignature, Reply, SIGNATURE_HEADER, Signature, VerifyError,
    headers::Headers,
    limits::{DELIVERY_TIMEOUT, DRAIN_LIMIT},
};

/// The relevant headers. They are checked before the body is read, and an error is returned after it: the
/// body of a refused request is read too, or the connection could not be used again.
pub(crate) struct Head {
    pub(crate) media_type: Result<(), Reply>,
    pub(crate) signature: Result<Signature, VerifyError>,
}

impl Head {
    pub(crate) fn of(headers: &dyn Headers) -> Self {
        Self { media_type: media_type(headers), signature: signature(headers) }
    }
}

fn media_type(headers: &dyn Headers) -> Result<(), Reply> {
    let (mut json, mut other) = (false, false);
    headers.visit("content-type", &mut |value| {
        let essence = value.split(|&byte| byte == b';').next().unwrap_or_default();
        let is_json = essence.trim_ascii().eq_ignore_ascii_case(b"application/json");
        *(if is_json { &mut json } else { &mut other }) = true;
    });
    if json && !other { Ok(()) } else { Err(Reply::UnsupportedMediaType) }
}

fn signature(headers: &dyn Headers) -> Result<Signature, VerifyError> {
    let mut found: Option<Result<Signature, MalformedSignature>> = None;
    headers.visit(SIGNATURE_HEADER, &mut |value| {
        let next = Signature::parse(value);
        found = Some(match (found.take(), next) {
            (None, next) => next,
            (Some(Ok(first)), Ok(next)) if first.0 == next.0 => Ok(first),
            _ => Err(MalformedSignature),
        });
    });
    Ok(found.ok_or(VerifyError::MissingSignature)??)
}

pin_project! {
    /// Reads a body of at most `limit` bytes. Never reserves memory before bytes arrive. An oversized body
    /// is read and discarded up to [`DRAIN_LIMIT`], so that its sender reads the answer. The time-out is
    /// Bondify's own.
    pub(crate) struct ReadBody<S> {
        #[pin]
        body: S,
        chunks: Chunks,
        deadline: Deadline,
    }
}

impl<S> ReadBody<S> {
    pub(crate) fn new(body: S, limit: usize, since: Instant) -> Self {
        let chunks = Chunks { first: Bytes::new(), rest: BytesMut::new(), size: 0, limit };
        Self { body, chunks, deadline: Deadline::Fresh { since } }
    }
}

impl<S, C, E> Future for ReadBody<S>
where
    S: Stream<Item = Result<C, E>>,
    C: Buf,
    E: Into<BoxError>,
{
    type Output = Result<Bytes, Reply>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let Poll::Ready(next) = this.body.as_mut().poll_next(context) else {
                ready!(this.deadline.poll(context));
                return Poll::Ready(Err(Reply::UnreadableBody));
            };
            match next.transpose() {
                Ok(Some(chunk)) => this.chunks.take(chunk),
                Ok(None) => return Poll::Ready(this.chunks.join()),
                Err(error) => return Poll::Ready(Err(unread(error))),
            }
            if this.chunks.exceeds_drain_limit() {
                return Poll::Ready(Err(Reply::PayloadTooLarge));
            }
        }
    }
}

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The reply to a body whose stream fails: `PayloadTooLarge` if a limit around the route ended it, else
/// `UnreadableBody`.
fn unread(error: impl Into<BoxError>) -> Reply {
    let error = error.into();
    let first: &(dyn Error + 'static) = &*error;
    let mut causes = iter::successors(Some(first), |&error| error.source());
    if causes.any(|cause| cause.is::<LengthLimitError>()) {
        Reply::PayloadTooLarge
    } else {
        Reply::UnreadableBody
    }
}

/// The size up to which a body is read.
pub(crate) fn read_limit(body_limit: usize) -> usize {
    body_limit.saturating_mul(2).max(DRAIN_LIMIT)
}

struct Chunks {
    first: Bytes,
    rest: BytesMut,
    size: usize,
    limit: usize,
}

impl Chunks {
    fn take(&mut self, mut chunk: impl Buf) {
        self.size = self.size.saturating_add(chunk.remaining());
        if self.size > self.limit {
            self.rest.clear();
        } else if self.first.is_empty() {
            self.first = chunk.copy_to_bytes(chunk.remaining());
        } else {
            self.rest.put(chunk);
        }
    }

    fn exceeds_drain_limit(&self) -> bool {
        self.size > read_limit(self.limit)
    }

    fn join(&mut self) -> Result<Bytes, Reply> {
        let (first, rest) = (mem::take(&mut self.first), mem::take(&mut self.rest));
        if self.size > self.limit {
            Err(Reply::PayloadTooLarge)
        } else if rest.is_empty() {
            Ok(first)
        } else {
            Ok([first, rest.freeze()].concat().into())
        }
    }
}

/// The time-out of a body. Most bodies have arrived already, but their server needs one more poll to
/// return them. There is no timer for that first poll, which saves 5 % of a server's requests.
enum Deadline {
    Fresh { since: Instant },
    Tried { since: Instant },
    Waiting(Pin<Box<Sleep>>),
}

impl Deadline {
    /// Returns `Ready` once the time is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match *self {
                Self::Fresh { since } => {
                    *self = Self::Tried { since };
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Self::Tried { since } => {
                    *self = Self::Waiting(Box::pin(sleep_until(since + DELIVERY_TIMEOUT)));
                }
                Self::Waiting(ref mut timer) => return timer.as_mut().poll(context),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt, StreamExt, stream};
    use http::{HeaderMap, HeaderValue};
    use http_body_util::{BodyDataStream, Full, Limited};
    use tokio::time::timeout;

    use super::*;

    fn read(chunks: &[&'static str], limit: usize) -> Result<Bytes, Reply> {
        let chunks = chunks.iter().map(|chunk| Ok::<_, Infallible>(chunk.as_bytes()));
        ReadBody::new(stream::iter(chunks), limit, Instant::now()).now_or_never().unwrap()
    }

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_str(value).unwrap());
        values.map(|value| (name.parse().unwrap(), value)).collect()
    }

    #[test]
    fn a_body_of_the_limit_is_accepted_and_a_longer_one_refused() {
        assert_eq!(read(&[], 4).unwrap(), "");
        assert_eq!(read(&["1234"], 4).unwrap(), "1234");
        assert_eq!(read(&["1", "", "23", "4"], 4).unwrap(), "1234");
        assert_eq!(read(&["12345"], 4), Err(Reply::PayloadTooLarge));
        assert_eq!(read(&["123", "45"], 4), Err(Reply::PayloadTooLarge));
        assert_eq!(read(&["123", "45", "6"], 4), Err(Reply::PayloadTooLarge));
    }

    #[test]
    fn an_endless_body_is_refused_at_the_drain_limit() {
        let endless = stream::repeat(Ok::<_, Infallible>(&[b'x'; 4096][..]));
        let read = ReadBody::new(endless, 4, Instant::now()).now_or_never();
        assert_eq!(read, Some(Err(Reply::PayloadTooLarge)));
    }

    #[test]
    fn a_body_that_breaks_off_is_unreadable() {
        let broken = stream::iter([Ok(&b"1"[..]), Err("broken")]);
        let read = ReadBody::new(broken, 4, Instant::now()).now_or_never();
        assert_eq!(read, Some(Err(Reply::UnreadableBody)));
    }

    #[test]
    fn a_length_limit_around_the_route_is_too_large() {
        let limited = BodyDataStream::new(Limited::new(Full::new(&b"12"[..]), 1));
        let read = ReadBody::new(limited, 4, Instant::now()).now_or_never();
        assert_eq!(read, Some(Err(Reply::PayloadTooLarge)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_too_slowly_is_unreadable() {
        let drop_by_drop = stream::repeat(Ok::<_, Infallible>(&b"x"[..])).then(async |chunk| {
            tokio::time::sleep(DELIVERY_TIMEOUT / 3).await;
            chunk
        });
        let read = ReadBody::new(drop_by_drop, 1000, Instant::now());
        assert_eq!(read.await, Err(Reply::UnreadableBody));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_unreadable() {
        let (start, silence) = (Instant::now(), stream::pending::<Result<Bytes, Infallible>>());
        let read = timeout(2 * DELIVERY_TIMEOUT, ReadBody::new(silence, 1000, start)).await;
        assert_eq!(read, Ok(Err(Reply::UnreadableBody)));
        assert_eq!(start.elapsed().as_secs(), DELIVERY_TIMEOUT.as_secs());
    }

    #[test]
    fn only_json_is_accepted() {
        let judge = |values: &[&str]| media_type(&headers("content-type", values));
        for json in ["application/json", "Application/JSON ; charset=utf-8"] {
            assert_eq!(judge(&[json]), Ok(()));
        }
        for other in ["text/plain", "application/jsonp", "application/problem+json", ""] {
            assert_eq!(judge(&[other]), Err(Reply::UnsupportedMediaType));
        }
        assert_eq!(judge(&[]), Err(Reply::UnsupportedMediaType));
        for conflict in [["application/json", "text/plain"], ["text/plain", "application/json"]] {
            assert_eq!(judge(&conflict), Err(Reply::UnsupportedMediaType));
        }
    }

    #[test]
    fn the_signature_may_be_repeated_but_not_contradicted() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let judge = |values: &[&str]| {
            signature(&headers(SIGNATURE_HEADER, values)).map(|found| found.to_string())
        };
        assert_eq!(judge(&[]), Err(VerifyError::MissingSignature));
        assert_eq!(judge(&[&a]), Ok(a.clone()));
        assert_eq!(judge(&[&a, &a.to_uppercase()]), Ok(a.clone()));
        for conflict in [[&*a, &*b], [&*a, ""], ["", &*a]] {
            assert_eq!(judge(&conflict), Err(VerifyError::InvalidSignature));
        }
        assert_eq!(judge(&[&a, &b, &a]), Err(VerifyError::InvalidSignature));
    }
}
