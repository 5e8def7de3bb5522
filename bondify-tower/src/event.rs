use bondify_core::{
    Event,
    adapter::{define_bondify_event, define_bondify_rejection, misconfigured, response},
};
use bytes::Bytes;
use http::{Extensions, Response};

define_bondify_event! {
    /// The verified event of a request that came through a [`BondifyLayer`](crate::BondifyLayer).
    ///
    /// ```
    /// use bondify_tower::{BondifyEvent, BondifyRejection};
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    ///
    /// async fn on_event<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, BondifyRejection> {
    ///     let event = BondifyEvent::from_extensions(request.extensions())?;
    ///     println!("handled {event}");
    ///     Ok(Response::default())
    /// }
    /// ```
}

impl BondifyEvent {
    /// Takes the event from the extensions of a request.
    ///
    /// # Errors
    ///
    /// A rejection with [`Reply::Misconfigured`](crate::Reply::Misconfigured) if the request did not
    /// come through a [`BondifyLayer`](crate::BondifyLayer). The log says what to add.
    pub fn from_extensions(extensions: &Extensions) -> Result<Self, BondifyRejection> {
        let event = extensions.get::<Event>().cloned().map(Self);
        event.ok_or_else(|| {
            BondifyRejection(misconfigured("add the layer `bondify.layer()` to the route"))
        })
    }
}

define_bondify_rejection! {
    /// The error for a request without a verified event. It converts into the response, 500
    /// `MISCONFIGURED`.
}

impl<B: From<Bytes>> From<BondifyRejection> for Response<B> {
    fn from(rejection: BondifyRejection) -> Self {
        response(rejection.reply())
    }
}
