use actix_web::{HttpMessage, HttpRequest};
use bondify_core::{
    Event,
    adapter::{Headers, RequestHead},
};

/// The head of an actix-web request, whose types are its own.
pub(crate) struct ActixHead<'a>(pub(crate) &'a HttpRequest);

impl Headers for ActixHead<'_> {
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
        self.0.headers().get_all(name).for_each(|value| visit(value.as_bytes()));
    }
}

impl RequestHead for ActixHead<'_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn path(&self) -> &str {
        self.0.path()
    }

    fn has_event(&self) -> bool {
        self.0.extensions().contains::<Event>()
    }
}
