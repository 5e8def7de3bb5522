use askama::Template;

use crate::{SignIn, User};

/// A page of the app.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the programs beside it are the only users")]
pub enum Page {
    /// The start page, for a user or for a visitor.
    Home(Option<User>),
    /// The page that requires a login.
    Account(User, Vec<SignIn>),
    /// The answer to a banned user.
    Banned,
    /// The answer if another user has the Telegram account.
    Taken,
}

impl Page {
    /// The page as HTML. Names are escaped.
    #[must_use]
    pub fn html(&self) -> String {
        #[derive(Template)]
        #[template(path = "page.html")]
        struct Html<'a> {
            page: &'a Page,
        }
        Html { page: self }.render().unwrap_or_default()
    }
}
