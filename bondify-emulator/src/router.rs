use std::sync::Arc;

use axum::{Router, middleware};

use crate::{Error, app::App, control_api, developer_api, guard, pages, public_api};

/// All routes of the emulator.
pub(crate) fn router(app: Arc<App>) -> Router {
    let private = Router::new()
        .merge(developer_api::routes())
        .merge(control_api::routes())
        .merge(pages::routes())
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(middleware::from_fn(guard::same_origin_only));
    public_api::routes()
        .merge(private)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::stored_only))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::known_host_only))
        .with_state(app)
}
