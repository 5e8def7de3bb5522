use bondify_core::{
    Event,
    adapter::{define_bondify_event, define_bondify_rejection, misconfigured, response},
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
    pub fn from_extensions(extensions: &Extensions) -> Result<Self, BondifyRejection> {
        let event = extensions.get::<Event>().cloned().map(Self);
        event
            .ok_or_else(|| BondifyRejection(misconfigured("add the layer `bondify.layer()` to it")))
    }
}

define_bondify_rejection! {
    /// The error of a request without a verified event. Converts into the response.
}

impl<B: From<Bytes>> From<BondifyRejection> for Response<B> {
    fn from(rejection: BondifyRejection) -> Self {
        response(rejection.reply())
    }
}
