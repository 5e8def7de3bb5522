use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, LazyLock},
};

use askama::filters::HtmlSafe;
use axum::{
    Router,
    extract::Path,
    http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{Error, app::App};

/// A file that pages link to, under an address that changes with its content.
pub(super) struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

pub(super) static STYLE: Asset = Asset {
    name: "pages.css",
    content_type: "text/css; charset=utf-8",
    content: include_str!("../../assets/pages.css"),
};

pub(super) static SCRIPT: Asset = Asset {
    name: "pages.js",
    content_type: "text/javascript; charset=utf-8",
    content: include_str!("../../assets/pages.js"),
};

pub(super) static ICON: Asset = Asset {
    name: "icon.svg",
    content_type: "image/svg+xml",
    content: include_str!("../../assets/icon.svg"),
};

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    [&STYLE, &SCRIPT, &ICON].map(|asset| asset.content).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
});

/// The address.
impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/assets/{}/{}", *VERSION, self.name)
    }
}

impl HtmlSafe for Asset {}

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/assets/{version}/{name}", get(asset))
}

async fn asset(Path((version, name)): Path<(String, String)>) -> Result<Response, Error> {
    let mut assets = [&STYLE, &SCRIPT, &ICON].into_iter();
    let asset = assets.find(|asset| asset.name == name && version == *VERSION);
    let asset = asset.ok_or(Error::NotFound)?;
    let headers = [
        (CONTENT_TYPE, asset.content_type),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, asset.content).into_response())
}
