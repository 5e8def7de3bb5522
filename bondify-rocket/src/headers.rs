use bondify_core::adapter::Headers;
use rocket::Request;

/// Rocket's header map, a type of its own.
pub(crate) struct RocketHeaders<'a, 'r>(pub(crate) &'a Request<'r>);

impl Headers for RocketHeaders<'_, '_> {
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
        self.0.headers().get(name).for_each(|value| visit(value.as_bytes()));
    }
}
