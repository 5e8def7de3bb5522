use actix_web::http::header::HeaderMap;
use bondify_core::adapter::Headers;

/// actix-web's header map, a type of its own on `http` 0.2.
pub(crate) struct ActixHeaders<'a>(pub(crate) &'a HeaderMap);

impl Headers for ActixHeaders<'_> {
    fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
        self.0.get_all(name).for_each(|value| visit(value.as_bytes()));
    }
}
