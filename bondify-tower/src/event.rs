use bondify_core::{
    Event,
    adapter::{define_bondify_event, define_rejection, misconfigured, response},
};
use bytes::Bytes;
use http::{Extensions, Response};

define_bondify_event! {
    /// The verified event of a request that came through a [`BondifyLayer`](crate::BondifyLayer).
}

impl BondifyEvent {
    /// Takes the event from the extensions of a request.
    ///
    /// # Errors
    ///
    /// [`Reply::Misconfigured`](crate::Reply::Misconfigured) if the request did not come through a
    /// [`BondifyLayer`](crate::BondifyLayer). The log says what to add.
    pub fn from_extensions(extensions: &Extensions) -> Result<Self, Rejection> {
        let event = extensions.get::<Event>().cloned().map(Self);
        event.ok_or_else(|| Rejection(misconfigured("add the layer `bondify.layer()` to it")))
    }
}

define_rejection! {
    /// The error of a request without a verified event. Converts into the response.
}

impl<B: From<Bytes>> From<Rejection> for Response<B> {
    fn from(rejection: Rejection) -> Self {
        response(rejection.reply())
    }
}
