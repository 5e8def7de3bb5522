use bondify_core::adapter::{Headers, RequestHead};
use rocket::Request;

/// The head of a Rocket request, whose types are its own.
pub(crate) struct RocketHead<'a, 'r>(pub(crate) &'a Request<'r>);

impl Headers for RocketHead<'_, '_> {
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
        self.0.headers().get(name).for_each(|value| visit(value.as_bytes()));
    }
}

impl RequestHead for RocketHead<'_, '_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn path(&self) -> &str {
        self.0.uri().path().as_str()
    }
}
