use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bondify_core::{
    Bondify, Event, Reply,
    adapter::{self, Delivery, Handling, Receive, misconfigured},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, request::Parts};
use http_body::Body;
use http_body_util::BodyDataStream;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::ResponseBody;

pin_project! {
    /// The future of a [`BondifyService`](crate::BondifyService).
    pub struct ResponseFuture<S, B, In>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        deliver: Deliver<S, B, In>,
    }
}

impl<S, B, In> ResponseFuture<S, B, In>
where
    S: Service<Request<B>>,
{
    pub(crate) fn new(deliver: Deliver<S, B, In>) -> Self {
        Self { deliver }
    }
}

impl<S, B, In, Out> Future for ResponseFuture<S, B, In>
where
    S: Service<Request<B>, Response = Response<Out>, Error: Send, Future: Send> + 'static,
    B: From<Bytes> + 'static,
    In: Body,
    Out: Send + 'static,
{
    type Output = Result<Response<ResponseBody<Out>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.project().deliver.poll(context)) {
            Ok(answer) => answer.map(|response| response.map(ResponseBody::inner)),
            Err(reply) => Ok(adapter::response(reply).map(ResponseBody::reply)),
        })
    }
}

pin_project! {
    /// What [`BondifyLayer::deliver`](crate::BondifyLayer::deliver) returns: a future of
    /// the service's answer, or of the [`Reply`] in its place.
    #[must_use = "futures do nothing unless polled"]
    pub struct Deliver<S, B, In>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        step: Step<S, B, In>,
    }
}

pin_project! {
    #[project = Projected]
    enum Step<S, B, In>
    where
        S: Service<Request<B>>,
    {
        Misconfigured,
        Receiving { #[pin] receive: Receive<BodyDataStream<In>>, next: Option<Next<S>> },
        Handling { handling: Handling<S::Future, Status<S::Response, S::Error>>, body: PhantomData<B> },
    }
}

/// The status of what a service answers.
type Status<R, E> = fn(&Result<R, E>) -> u16;

/// Who handles the event, and the rest of the request.
struct Next<S> {
    inner: S,
    parts: Parts,
}

impl<S, B, In> Deliver<S, B, In>
where
    S: Service<Request<B>>,
    In: Body,
{
    pub(crate) fn new(bondify: &Bondify, inner: S, request: Request<In>) -> Self {
        let (parts, body) = request.into_parts();
        let step = if parts.extensions.get::<Event>().is_some() {
            Step::Misconfigured
        } else {
            let receive = adapter::receive(bondify, &parts.headers, BodyDataStream::new(body));
            Step::Receiving { receive, next: Some(Next { inner, parts }) }
        };
        Self { step }
    }
}

impl<S, B, In, Out> Future for Deliver<S, B, In>
where
    S: Service<Request<B>, Response = Response<Out>, Error: Send, Future: Send> + 'static,
    B: From<Bytes> + 'static,
    In: Body,
    Out: Send + 'static,
{
    type Output = Result<Result<Response<Out>, S::Error>, Reply>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        loop {
            match step.as_mut().project() {
                Projected::Misconfigured => {
                    return Poll::Ready(Err(misconfigured(ADVICE)));
                }
                Projected::Receiving { receive, next } => {
                    let delivery = ready!(receive.poll(context))?;
                    let Some(next) = next.take() else {
                        return Poll::Pending; // polled after it was ready
                    };
                    let handling = next.handle(delivery);
                    step.set(Step::Handling { handling, body: PhantomData });
                }
                Projected::Handling { handling, .. } => return handling.poll_unpin(context),
            }
        }
    }
}

const ADVICE: &str = "it is applied twice; apply one layer to the route";

impl<S> Next<S> {
    fn handle<B, Out>(
        self,
        delivery: Delivery,
    ) -> Handling<S::Future, Status<S::Response, S::Error>>
    where
        S: Service<Request<B>, Response = Response<Out>, Error: Send, Future: Send> + 'static,
        B: From<Bytes> + 'static,
        Out: Send + 'static,
    {
        let Self { mut inner, mut parts } = self;
        let handler = move |event: Event| {
            let body = B::from(event.raw().clone());
            parts.extensions.insert(event);
            inner.call(Request::from_parts(parts, body))
        };
        delivery.run_to_completion(handler, status as Status<_, _>)
    }
}

/// An error of the service makes the server drop the connection: no 2xx either.
fn status<Out, E>(answer: &Result<Response<Out>, E>) -> u16 {
    answer.as_ref().map_or(500, |response| response.status().as_u16())
}

impl<S: Service<Request<B>>, B, In> fmt::Debug for ResponseFuture<S, B, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<S: Service<Request<B>>, B, In> fmt::Debug for Deliver<S, B, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliver").finish_non_exhaustive()
    }
}
