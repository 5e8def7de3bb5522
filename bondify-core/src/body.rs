use std::{error::Error, iter, pin::pin};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http_body_util::LengthLimitError;

use crate::{
    Reply,
    in_time::in_time,
    limits::{DELIVERY_TIMEOUT, DRAIN_LIMIT},
};

type BoxError = Box<dyn Error + Send + Sync>;

/// Reads a body of at most `limit` bytes, for [`DELIVERY_TIMEOUT`]. Never reserves memory before bytes arrive. An
/// oversized body is read and discarded up to [`read_limit`], so that its sender reads the answer.
pub(crate) async fn read<S, C, E>(body: S, limit: usize) -> Result<Bytes, Reply>
where
    S: Stream<Item = Result<C, E>>,
    C: Buf,
    E: Into<BoxError>,
{
    let read = in_time(DELIVERY_TIMEOUT, pin!(read_to_end(body, limit))).await;
    read.unwrap_or(Err(Reply::UnreadableBody))
}

async fn read_to_end<S, C, E>(body: S, limit: usize) -> Result<Bytes, Reply>
where
    S: Stream<Item = Result<C, E>>,
    C: Buf,
    E: Into<BoxError>,
{
    let mut body = pin!(body);
    let (mut first, mut rest, mut size) = (Bytes::new(), BytesMut::new(), 0_usize);
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(unread)?;
        size = size.saturating_add(chunk.remaining());
        if size > read_limit(limit) {
            break;
        } else if size > limit {
            rest.clear();
        } else if first.is_empty() {
            first = chunk.copy_to_bytes(chunk.remaining());
        } else {
            rest.put(chunk);
        }
    }
    if size > limit {
        Err(Reply::PayloadTooLarge)
    } else if rest.is_empty() {
        Ok(first)
    } else {
        Ok([first, rest.freeze()].concat().into())
    }
}

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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt, stream};
    use http_body_util::{BodyDataStream, Full, Limited};
    use tokio::time::{Instant, timeout};

    use super::*;

    fn read_now<C: Buf, E: Into<BoxError>>(
        body: impl Stream<Item = Result<C, E>>,
        limit: usize,
    ) -> Result<Bytes, Reply> {
        read(body, limit).now_or_never().unwrap()
    }

    fn read_chunks(chunks: &[&'static str], limit: usize) -> Result<Bytes, Reply> {
        let chunks = chunks.iter().map(|chunk| Ok::<_, Infallible>(chunk.as_bytes()));
        read_now(stream::iter(chunks), limit)
    }

    #[test]
    fn a_body_of_the_limit_is_accepted_and_a_longer_one_refused() {
        assert_eq!(read_chunks(&[], 4).unwrap(), "");
        assert_eq!(read_chunks(&["1234"], 4).unwrap(), "1234");
        assert_eq!(read_chunks(&["1", "", "23", "4"], 4).unwrap(), "1234");
        assert_eq!(read_chunks(&["12345"], 4), Err(Reply::PayloadTooLarge));
        assert_eq!(read_chunks(&["123", "45"], 4), Err(Reply::PayloadTooLarge));
        assert_eq!(read_chunks(&["123", "45", "6"], 4), Err(Reply::PayloadTooLarge));
    }

    #[test]
    fn an_endless_body_is_refused_at_the_drain_limit() {
        let endless = stream::repeat(Ok::<_, Infallible>(&[b'x'; 4096][..]));
        assert_eq!(read_now(endless, 4), Err(Reply::PayloadTooLarge));
    }

    #[test]
    fn a_body_that_breaks_off_is_unreadable() {
        let broken = stream::iter([Ok(&b"1"[..]), Err("broken")]);
        assert_eq!(read_now(broken, 4), Err(Reply::UnreadableBody));
    }

    #[test]
    fn a_length_limit_around_the_route_is_too_large() {
        let limited = BodyDataStream::new(Limited::new(Full::new(&b"12"[..]), 1));
        assert_eq!(read_now(limited, 4), Err(Reply::PayloadTooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_too_slowly_is_unreadable() {
        let drop_by_drop = stream::repeat(Ok::<_, Infallible>(&b"x"[..])).then(async |chunk| {
            tokio::time::sleep(DELIVERY_TIMEOUT / 3).await;
            chunk
        });
        assert_eq!(read(drop_by_drop, 1000).await, Err(Reply::UnreadableBody));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_unreadable() {
        let (start, silence) = (Instant::now(), stream::pending::<Result<Bytes, Infallible>>());
        let read = timeout(2 * DELIVERY_TIMEOUT, read(silence, 1000)).await;
        assert_eq!(read, Ok(Err(Reply::UnreadableBody)));
        assert_eq!(start.elapsed().as_secs(), DELIVERY_TIMEOUT.as_secs());
    }
}
