//! The pages: the bot and the inspector.

mod actions;
mod assets;
mod attempts;
mod body;
mod bot;
mod export;
mod feed;
mod fields;
mod inspector;
mod markup;
mod qr;
mod result;
mod selection;

use std::sync::Arc;

use axum::{
    Router,
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
    },
    middleware,
    response::Response,
};

use crate::app::App;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .merge(bot::routes())
        .merge(inspector::routes())
        .merge(actions::routes())
        .merge(feed::routes())
        .merge(export::routes())
        .merge(assets::routes())
        .layer(middleware::map_response(set_security_headers))
}

/// Allows no other origins, no inline code and no frames. Session tokens are in addresses, so
/// other origins get no referrer; with no referrer at all, browsers would hide the origin of
/// forms from [the guard](crate::guard).
async fn set_security_headers(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
        img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
        frame-ancestors 'none'";
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    response.headers_mut().extend(headers);
    response
}
