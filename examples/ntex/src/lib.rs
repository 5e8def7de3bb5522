//! An adapter for ntex, whose futures are not `Send` and whose bodies have types of their own.

use std::{
    cell::OnceCell,
    rc::{Rc, Weak},
};

use bondify_core::{
    Event, Projects, Reply,
    adapter::{self, Claim, Head, Headers, RequestHead},
};
use bytes::Bytes;
use futures_util::{TryStreamExt, future::ready, stream};
use ntex::{
    Middleware, Pipeline, Service, ServiceCtx, SharedCfg,
    http::{Payload, StatusCode},
    rt,
    util::Bytes as NtexBytes,
    web::{
        DefaultError, Error, FromRequest, HttpRequest, HttpResponse, WebRequest, WebResponse,
        WebResponseError,
    },
};

adapter::define_bondify_event! {
    /// The verified event, which a handler behind [`Hook`] takes as an argument.
}
adapter::define_bondify_rejection! {
    /// The response when there is no verified event.
}

/// A middleware that calls a resource with verified events only. The resource has to guard against other methods than
/// `POST`.
pub struct Hook(Projects);

impl Hook {
    /// Creates the middleware of a [`Bondify`](bondify_core::Bondify) or of [`Projects`].
    pub fn new(bondify: impl Into<Projects>) -> Self {
        Self(bondify.into())
    }
}

impl<S> Middleware<S, SharedCfg> for Hook {
    type Service = HookService<S>;

    fn create(&self, inner: S, _: SharedCfg) -> HookService<S> {
        HookService { inner: Pipeline::new(inner), projects: self.0.clone() }
    }
}

/// A service behind a [`Hook`].
pub struct HookService<S> {
    inner: Pipeline<S>,
    projects: Projects,
}

impl<S> Service<WebRequest<DefaultError>> for HookService<S>
where
    S: Service<WebRequest<DefaultError>, Response = WebResponse, Error = Error> + 'static,
{
    type Response = WebResponse;
    type Error = Error;

    async fn ready(&self, _: ServiceCtx<'_, Self>) -> Result<(), Error> {
        self.inner.ready().await
    }

    async fn call(
        &self,
        mut request: WebRequest<DefaultError>,
        _: ServiceCtx<'_, Self>,
    ) -> Result<WebResponse, Error> {
        let (event, claim) = match receive(&self.projects, &mut request).await {
            Ok(received) => received,
            Err(reply) => return Ok(request.render_error(&BondifyRejection(reply))),
        };
        let signed = NtexBytes::copy_from_slice(event.raw());
        request.set_payload(Payload::from_stream(stream::once(ready(Ok(signed)))));
        request.extensions_mut().insert(event);
        let kept = Rc::new(OnceCell::new());
        request.extensions_mut().insert(KeptRequest(Rc::downgrade(&kept)));
        let inner = self.inner.clone();
        let handler = move || inner.call_static(request);
        // A client that hangs up drops this future and not the handler's, which owns the request.
        let handled = claim.run_local(|rest| drop(rt::spawn(rest)), handler, status).await;
        handled.unwrap_or_else(|reply| respond(kept.get(), BondifyRejection(reply)))
    }
}

/// The place where [`BondifyEvent`] keeps the request, for the response after a panic. A clone that is made earlier
/// would stop ntex from changing the request. Weak, as the request holds it.
struct KeptRequest(Weak<OnceCell<HttpRequest>>);

/// The response to the request of a handler that panicked. An error, of which ntex sends the status and the text, if the
/// handler does not take a [`BondifyEvent`].
fn respond(
    request: Option<&HttpRequest>,
    rejection: BondifyRejection,
) -> Result<WebResponse, Error> {
    let request = request.ok_or(rejection)?;
    Ok(WebResponse::new(rejection.error_response(request), request.clone()))
}

async fn receive(
    projects: &Projects,
    request: &mut WebRequest<DefaultError>,
) -> Result<(Event, Claim), Reply> {
    let bondify = projects.choose(&RequestOf(request)).await?;
    let head = Head::of(&RequestOf(request));
    let body = request.take_payload().map_ok(|part| Bytes::copy_from_slice(&part));
    bondify.claim(head, body).await
}

fn status(answer: &Result<WebResponse, Error>) -> u16 {
    match answer {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.as_response_error().status_code().as_u16(),
    }
}

impl FromRequest<DefaultError> for BondifyEvent {
    type Error = BondifyRejection;

    async fn from_request(
        request: &HttpRequest,
        _: &mut Payload,
    ) -> Result<Self, BondifyRejection> {
        let extensions = request.extensions();
        if let Some(kept) = extensions.get::<KeptRequest>().and_then(|kept| kept.0.upgrade()) {
            let _first_kept = kept.set(request.clone());
        }
        let event = extensions.get::<Event>().cloned().map(Self);
        event.ok_or_else(|| {
            BondifyRejection(adapter::misconfigured("put the resource behind a Hook"))
        })
    }
}

impl WebResponseError for BondifyRejection {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self, _: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        for &(name, value) in self.0.headers() {
            response.header(name, value);
        }
        response.body(self.0.body())
    }
}

struct RequestOf<'a>(&'a WebRequest<DefaultError>);

impl Headers for RequestOf<'_> {
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
        self.0.headers().get_all(name).for_each(|value| visit(value.as_bytes()));
    }
}

impl RequestHead for RequestOf<'_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn path(&self) -> &str {
        self.0.path()
    }

    fn has_event(&self) -> bool {
        self.0.extensions().get::<Event>().is_some()
    }
}
