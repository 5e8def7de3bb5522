use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};

use crate::Error;

/// A rendered page, or the error page in place of it.
pub(super) type PageResult = Result<Html<String>, Refusal>;

pub(super) fn html(template: &impl Template) -> PageResult {
    Ok(Html(template.to_string()))
}

/// An error, rendered as a page.
pub(super) struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage<'a> {
    error: &'a Error,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).expect("is a status");
        (status, Html(RefusalPage { error: &self.0 }.to_string())).into_response()
    }
}
