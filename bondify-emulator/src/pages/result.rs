use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};

use crate::{Error, Visible};

/// A rendered page, or the error page in place of it.
pub(super) type PageResult = Result<Html<String>, Refusal>;

pub(super) fn html(template: &impl Template) -> PageResult {
    Ok(Html(visible(template)))
}

/// Renders a template, with the hidden characters of untrusted text escaped.
pub(super) fn visible(template: &impl Template) -> String {
    Visible(&template.to_string()).to_string()
}

/// An error, rendered as a page.
pub(super) struct Refusal {
    error: Error,
    /// The page that shows the error beside the form that was refused.
    page: Option<String>,
}

impl Refusal {
    pub(super) fn on(page: &impl Template, error: Error) -> Self {
        Self { error, page: Some(visible(page)) }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, page: None }
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage<'a> {
    error: &'a Error,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.error.status()).expect("is a status");
        let page = self.page.unwrap_or_else(|| visible(&RefusalPage { error: &self.error }));
        (status, Html(page)).into_response()
    }
}
