use std::sync::Arc;

use axum::{
    Router,
    extract::Path,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{Error, app::App};

/// Names, types and contents of the files that pages link to.
const ASSETS: [(&str, &str, &str); 3] = [
    ("pages.css", "text/css; charset=utf-8", include_str!("../../assets/pages.css")),
    ("pages.js", "text/javascript; charset=utf-8", include_str!("../../assets/pages.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Result<Response, Error> {
    let asset = ASSETS.into_iter().find(|asset| asset.0 == name);
    let (_, content_type, content) = asset.ok_or(Error::NotFound)?;
    Ok(([(CONTENT_TYPE, content_type)], content).into_response())
}
