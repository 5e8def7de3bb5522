use std::{fmt, sync::Arc, time::Duration};

use askama::Template;
use qrcode::{QrCode, render::svg};

use crate::State;

pub(crate) type Render = Arc<dyn Fn(&View<'_>) -> String + Send + Sync>;

/// The data that the page shows.
#[non_exhaustive]
pub struct View<'a> {
    /// The state of the login in this browser.
    pub state: &'a State,
    /// The [app's name](crate::LoginBuilder::app_name).
    pub app_name: Option<&'a str>,
    /// The path that the browser goes to after the login.
    pub return_to: &'a str,
    /// The nonce. The browser runs scripts and applies styles only with it: `<style nonce="…">`.
    pub nonce: &'a str,
    /// The page's own URL, relative to the page. A form that is posted to it begins a login. The form
    /// may have a `return_to`.
    pub page_url: &'a str,
    /// The id of the login in URLs, without which they mean the newest login.
    pub(crate) id: Option<&'a str>,
}

impl View<'_> {
    /// The URL of the server-sent events. The event `state` contains the decision as JSON.
    #[must_use]
    pub fn events_url(&self) -> String {
        let id = self.id.map(|id| format!("?id={id}")).unwrap_or_default();
        self.below_page("events") + &id
    }

    /// The URL of the form that finishes the login. The form must have the `proof`.
    #[must_use]
    pub fn finish_url(&self) -> String {
        self.below_page("finish")
    }

    /// The page's URL is `./` if the page is at the root.
    fn below_page(&self, segment: &str) -> String {
        format!("{}/{segment}", self.page_url.trim_end_matches('/'))
    }

    /// The QR code of the link into Telegram, as an SVG element. Empty in states without a link.
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

/// The QR code as an SVG element, with the margin that scanners need. Empty if the text is too long for
/// a QR code.
pub(crate) fn qr_code(text: &str) -> String {
    let Ok(code) = QrCode::new(text) else { return String::new() };
    let document = code.render::<svg::Color<'_>>().min_dimensions(240, 240).build();
    let element = document.find("<svg").unwrap_or_default();
    document[element..].to_owned()
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    view: &'a View<'a>,
}

impl Page<'_> {
    /// The label of the button that begins a login.
    fn begin_label(&self) -> Option<&'static str> {
        match self.view.state {
            State::Start => Some("Sign in with Telegram"),
            State::Used => Some("Sign in again"),
            State::Cancelled | State::Expired | State::Unavailable => Some("Try again"),
            State::Waiting { .. } | State::Confirmed { .. } | State::OtherOrigin { .. } => None,
        }
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
