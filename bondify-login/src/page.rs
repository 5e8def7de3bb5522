use std::{fmt, sync::Arc, time::Duration};

use askama::Template;
use bytes::Bytes;
use http::Request;

use crate::{State, Texts, accent::Accent, languages::Languages, policy::Policy, qr_code::qr_code};

pub(crate) type Render = Arc<dyn Fn(&View<'_>) -> String + Send + Sync>;

/// The settings of the page.
pub(crate) struct Design {
    pub(crate) app_name: String,
    pub(crate) logo: Option<String>,
    pub(crate) accent: Option<Accent>,
    pub(crate) languages: Languages,
    pub(crate) asks_for_phone: bool,
    pub(crate) back_to: String,
    pub(crate) policy: Policy,
    pub(crate) render: Render,
}

impl Design {
    pub(crate) fn texts_for(&self, request: &Request<Bytes>, state: &State) -> Texts {
        let mut texts = self.languages.texts_for(request);
        let name = if let State::Confirmed { user, .. } = state { user.name() } else { "" };
        texts.fill(&self.app_name, name);
        texts
    }
}

/// The data that the page shows.
///
/// ```
/// use bondify_login::{State, View};
///
/// fn page(view: &View<'_>) -> String {
///     let (texts, url) = (view.texts, view.page_url);
///     match view.state {
///         State::Waiting { .. } => format!("<p>{}</p>{}", texts.scan, view.qr_code()),
///         _ => format!(r#"<form method="post" action="{url}"><button>{}</button></form>"#, texts.begin),
///     }
/// }
/// ```
#[non_exhaustive]
pub struct View<'a> {
    /// The state of the login in this browser.
    pub state: &'a State,
    /// The request, with its path, query and headers. In axum it has the extensions of middleware too. Its
    /// body is the form, if it has one.
    pub request: &'a Request<Bytes>,
    /// The texts in the [language](crate::LoginBuilder::languages) of the request, with the names filled in.
    pub texts: &'a Texts,
    /// The [app's name](crate::LoginBuilder::app_name).
    pub app_name: &'a str,
    /// The URL of the [logo](crate::LoginBuilder::logo).
    pub logo: Option<&'a str>,
    /// Whether the app [asks for the phone number](crate::LoginBuilder::asks_for_phone).
    pub asks_for_phone: bool,
    /// The path that the browser goes to after the login.
    pub return_to: &'a str,
    /// The [path](crate::LoginBuilder::back_to) of the link for users who do not want to sign in.
    pub back_to: &'a str,
    /// The nonce. The browser runs scripts and applies styles only with it: `<style nonce="…">`.
    pub nonce: &'a str,
    /// The page's own URL, relative to the page. A form that is posted to it begins a login. The form
    /// may have a `return_to`.
    pub page_url: &'a str,
    pub(crate) accent: Option<&'a Accent>,
    /// The id of the login in URLs, without which they mean the newest login.
    pub(crate) id: Option<&'a str>,
}

impl View<'_> {
    /// The URL of the server-sent events. The event `state` contains the decision as JSON.
    ///
    /// ```
    /// use bondify_login::View;
    ///
    /// /// The element from which the page's script reads where to listen.
    /// fn main_element(view: &View<'_>, content: &str) -> String {
    ///     format!(r#"<main data-events="{}">{content}</main>"#, view.events_url())
    /// }
    /// ```
    #[must_use]
    pub fn events_url(&self) -> String {
        let id = self.id.map(|id| format!("?id={id}")).unwrap_or_default();
        self.below_page("events") + &id
    }

    /// The URL of the form that finishes the login. The form must have the `proof`.
    ///
    /// ```
    /// use bondify_login::{State, View};
    ///
    /// /// The form for browsers that run no scripts. `proof` is text without special characters.
    /// fn finish(view: &View<'_>) -> Option<String> {
    ///     let State::Confirmed { proof, .. } = view.state else { return None };
    ///     Some(format!(
    ///         r#"<form id="finish" method="post" action="{}">
    ///         <input type="hidden" name="proof" value="{proof}"><button>{}</button></form>"#,
    ///         view.finish_url(),
    ///         view.texts.go_on,
    ///     ))
    /// }
    /// ```
    #[must_use]
    pub fn finish_url(&self) -> String {
        self.below_page("finish")
    }

    /// The page's URL is `./` if the page is at the root.
    fn below_page(&self, segment: &str) -> String {
        format!("{}/{segment}", self.page_url.trim_end_matches('/'))
    }

    /// The QR code of the link into Telegram, as an SVG element. Empty in states without a link.
    ///
    /// ```
    /// use bondify_login::View;
    ///
    /// /// The code with its description for screen readers.
    /// fn code(view: &View<'_>) -> String {
    ///     format!(r#"<figure aria-label="{}">{}</figure>"#, view.texts.code, view.qr_code())
    /// }
    /// ```
    #[must_use]
    pub fn qr_code(&self) -> String {
        match self.state {
            State::Waiting { deeplink, .. } => qr_code(deeplink),
            _ => String::new(),
        }
    }

    /// The script of the page: the countdown, the wait for the decision and the finish.
    ///
    /// It expects the elements of the default page: `main` with `data-events` and the form `finish`
    /// with the field `proof`. Three more are optional: a `time` with `data-seconds` for the countdown,
    /// an element with `data-lost`, the text that it shows while the server does not answer, and
    /// around the script an element with the id `without-script`. The script removes it. A refresh that
    /// follows the script in there is for browsers that do not run scripts:
    /// `<meta http-equiv="refresh" content="5">`.
    ///
    /// ```
    /// use bondify_login::View;
    ///
    /// fn script(view: &View<'_>) -> String {
    ///     format!(r#"<script nonce="{}">{}</script>"#, view.nonce, view.script())
    /// }
    /// ```
    #[must_use]
    pub fn script(&self) -> &'static str {
        concat!(include_str!("../assets/follow.js"), include_str!("../assets/page.js"))
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("state", self.state).finish_non_exhaustive()
    }
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    view: &'a View<'a>,
}

impl Page<'_> {
    fn heading(&self) -> &str {
        let texts = self.view.texts;
        match self.view.state {
            State::Start | State::Waiting { .. } => &texts.start,
            State::Confirmed { .. } => &texts.confirmed,
            State::Cancelled => &texts.cancelled,
            State::Expired => &texts.expired,
            State::Used => &texts.used,
            State::Unavailable => &texts.unavailable,
            State::OtherOrigin { .. } => &texts.other_origin,
        }
    }

    /// The sentence below the heading. While the page waits, it depends on the device.
    fn detail(&self) -> Option<&str> {
        let texts = self.view.texts;
        match self.view.state {
            State::Start => Some(&texts.start_detail),
            State::Waiting { .. } => None,
            State::Confirmed { .. } => Some(&texts.confirmed_detail),
            State::Cancelled => Some(&texts.cancelled_detail),
            State::Expired => Some(&texts.expired_detail),
            State::Used => Some(&texts.used_detail),
            State::Unavailable => Some(&texts.unavailable_detail),
            State::OtherOrigin { .. } => Some(&texts.other_origin_detail),
        }
    }

    /// The sign above the heading, as the path of an SVG of 24 by 24.
    fn sign(&self) -> &'static str {
        match self.view.state {
            State::Start | State::Waiting { .. } => "M21 3 10 14M21 3l-6 18-5-7-7-5z", // a paper plane
            State::Confirmed { .. } | State::Used => "m5 12 5 5L20 7",                 // a tick
            State::Cancelled => "m6 6 12 12M18 6 6 18",                                // a cross
            State::Expired => "M12 5v8l5 3", // the hands of a clock
            State::Unavailable | State::OtherOrigin { .. } => "M12 6v7m0 4v.1", // an exclamation mark
        }
    }

    /// The label of the button that begins a login.
    fn begin_label(&self) -> Option<&str> {
        let texts = self.view.texts;
        match self.view.state {
            State::Start => Some(&texts.begin),
            State::Used => Some(&texts.sign_in_again),
            State::Cancelled | State::Expired | State::Unavailable => Some(&texts.try_again),
            State::Waiting { .. } | State::Confirmed { .. } | State::OtherOrigin { .. } => None,
        }
    }

    /// The data that the app will see.
    fn sees(&self) -> Option<&str> {
        let texts = self.view.texts;
        match self.view.state {
            State::Start | State::Waiting { .. } if self.view.asks_for_phone => {
                Some(&texts.sees_phone)
            }
            State::Start | State::Waiting { .. } => Some(&texts.sees),
            _ => None,
        }
    }

    /// The text around the time left.
    fn around_time(&self) -> (&str, &str) {
        let text = &*self.view.texts.expires_in;
        text.split_once("{time}").unwrap_or((text, ""))
    }

    /// The time left, in minutes and seconds, as the script shows it.
    fn left(&self, time: &Duration) -> String {
        let seconds = time.as_secs();
        format!("{}:{:02}", seconds / 60, seconds % 60)
    }
}

pub(crate) fn default_page(view: &View<'_>) -> String {
    // Rendering into a string fails only if a value of the template fails.
    Page { view }.render().unwrap_or_default()
}
