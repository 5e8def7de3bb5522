//! An adapter for salvo, a framework that does not take tower layers.

use std::{mem, sync::Arc};

use bondify_core::{
    Event, Projects, Reply,
    adapter::{self, Head, Headers, RequestHead},
};
use http_body_util::BodyDataStream;
use salvo::{
    Depot, Extractible, FlowCtrl, Handler, Request, Response, Writer, async_trait,
    extract::Metadata,
    http::{ReqBody, ResBody},
};

adapter::define_bondify_event! {
    /// The verified event, which a handler behind [`Hook`] takes as an argument.
}
adapter::define_bondify_rejection! {
    /// The response when there is no verified event.
}

/// Calls a handler with verified events only.
pub struct Hook {
    projects: Projects,
    handler: Arc<dyn Handler>,
}

impl Hook {
    /// Puts a handler behind a [`Bondify`](bondify_core::Bondify) or [`Projects`].
    pub fn new(bondify: impl Into<Projects>, handler: impl Handler) -> Self {
        Self { projects: bondify.into(), handler: Arc::new(handler) }
    }

    async fn deliver(&self, mut request: Request, mut depot: Depot) -> Result<Response, Reply> {
        let body = BodyDataStream::new(request.take_body());
        let bondify = self.projects.choose(&RequestOf(&request)).await?;
        let (head, inner) = (Head::of(&RequestOf(&request)), self.handler.clone());
        let handler = |event: Event| async move {
            request.replace_body(ReqBody::from(event.raw().clone()));
            request.extensions_mut().insert(event);
            let mut response = Response::new();
            let mut flow = FlowCtrl::new(vec![inner]);
            flow.call_next(&mut request, &mut depot, &mut response).await;
            response
        };
        // As salvo itself, whose handlers may leave the status open.
        let status = |response: &Response| response.status_code.unwrap_or_default().as_u16();
        bondify.serve(head, body, handler, status).await
    }
}

#[async_trait]
impl Handler for Hook {
    async fn handle(
        &self,
        req: &mut Request,
        depot: &mut Depot,
        res: &mut Response,
        _: &mut FlowCtrl,
    ) {
        // A client that hangs up drops this future and not the handler's, which owns the request.
        let delivered = self.deliver(mem::take(req), mem::take(depot)).await;
        *res = delivered.unwrap_or_else(response);
    }
}

fn response(reply: Reply) -> Response {
    adapter::response::<ResBody>(reply).into()
}

impl<'ex> Extractible<'ex> for BondifyEvent {
    fn metadata() -> &'static Metadata {
        static METADATA: Metadata = Metadata::new("BondifyEvent");
        &METADATA
    }

    #[allow(refining_impl_trait, reason = "the error of this extractor is known")]
    async fn extract(req: &'ex mut Request, _: &'ex mut Depot) -> Result<Self, BondifyRejection> {
        let event = req.extensions().get::<Event>().cloned().map(Self);
        event.ok_or_else(|| {
            BondifyRejection(adapter::misconfigured("put the handler behind a Hook"))
        })
    }
}

#[async_trait]
impl Writer for BondifyRejection {
    async fn write(self, _: &mut Request, _: &mut Depot, res: &mut Response) {
        *res = response(self.reply());
    }
}

struct RequestOf<'a>(&'a Request);

impl Headers for RequestOf<'_> {
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
        self.0.headers().visit(name, visit);
    }
}

impl RequestHead for RequestOf<'_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn path(&self) -> &str {
        self.0.uri().path()
    }

    fn has_event(&self) -> bool {
        self.0.extensions().get::<Event>().is_some()
    }
}
