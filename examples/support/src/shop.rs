//! Test cases for the examples that show the user on their pages, each on a local Bondify.

use std::process::Command;

use bondify_emulator::{Browser, Emulator, Persona, ProjectSettings};
use http::Response;

use crate::process::Example;

/// A running example, and the local Bondify that it uses.
#[derive(Debug)]
pub struct Shop {
    emulator: Emulator,
    example: Example,
}

impl Shop {
    /// Starts the example by this command, with these environment variables.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(command: Command, variables: &[(&str, &str)]) -> Self {
        let project = ProjectSettings::new().id("proj_shop").public_access(true);
        let emulator = Emulator::builder().project(project).start().await.expect("it starts");
        let project = emulator.project("proj_shop").expect("is there");
        let mut all = vec![
            ("BONDIFY_PROJECT_ID", "proj_shop"),
            ("BONDIFY_API_URL", emulator.url()),
            ("BONDIFY_WEBHOOK_SECRET", project.reveal_secret()),
        ];
        all.extend(variables);
        let example = Example::start_by(command, &all);
        Self { emulator, example }
    }

    /// The local Bondify.
    #[must_use]
    pub fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// The address of a page.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.example.address())
    }

    /// A browser without scripts.
    #[must_use]
    pub fn browser(&self) -> Browser<'_> {
        Browser::new(&self.emulator, self.example.address())
    }

    /// Signs in, opens the page that requires a login, and signs out, all without scripts.
    ///
    /// # Panics
    ///
    /// If a page is not the expected one.
    pub async fn visit(&self) {
        let mut browser = self.browser();
        assert!(open(&mut browser, "/").await.contains("Sign in with Telegram"));
        assert!(open(&mut browser, "/account").await.contains("Sign in with Telegram"));

        let done = browser.sign_in("/login?return_to=/account", ada()).await.expect("signs in");
        assert_eq!(location(&done), "/account");
        assert!(open(&mut browser, "/account").await.contains("Your Telegram id is 1."));
        assert!(open(&mut browser, "/").await.contains("Welcome, Ada <3"));

        // Another browser is not signed in, nor is one whose user cancels.
        let mut other = self.browser();
        let session = other.begin("/login").await.expect("begins");
        self.emulator.cancel(&session).expect("is not decided");
        other.finish("/login").await.expect("it answers");
        assert!(open(&mut other, "/account").await.contains("Sign in with Telegram"));

        let signed_out = browser.post("/logout", "").await.expect("it answers");
        assert_eq!(location(&signed_out), "/");
        assert!(open(&mut browser, "/account").await.contains("Sign in with Telegram"));
    }

    /// The same in a browser that runs the scripts of the pages. Returns early if there is no such browser.
    ///
    /// # Panics
    ///
    /// If a page is not the expected one, or a page is loaded that the scripts should render.
    #[cfg(feature = "browser")]
    pub async fn visit_in_a_browser(&self) {
        let Some(browser) = crate::browser::Browser::open().await else { return };
        browser.goto(&self.url("/account")).await;
        browser.click("form[action$='/login'] button").await;
        browser.wait_for_text("Waiting for you to confirm").await;
        let session = self.emulator.sessions()[0].token.clone();
        self.emulator.confirm(&session, ada()).expect("is not decided");
        browser.wait_for_text("Your Telegram id is 1.").await;

        // The scripts render the next pages, with the answers of server functions.
        browser.value_of("window.isTheSame = true").await;
        browser.wait_until(SCRIPT_TAKES_CLICK).await;
        browser.wait_for_text("Welcome, Ada <3").await;
        browser.click("a[href='/account']").await;
        browser.wait_for_text("Your Telegram id is 1.").await;
        browser.click("a[href='/']").await;
        browser.wait_for_text("Welcome").await;
        assert_eq!(browser.value_of("window.isTheSame").await, true);
        browser.click("form[action='/logout'] button").await;
        browser.wait_for_text("Sign in with Telegram").await;
        browser.goto(&self.url("/account")).await;
        browser.wait_for_text("Sign in with Telegram").await;
        let complaints = browser.complaints().await;
        assert!(complaints.iter().all(|it| it.contains("/favicon.ico")), "{complaints:?}");
    }
}

/// Clicks on the link to the home page, and returns whether a script of the page prevented that the browser loads it.
#[cfg(feature = "browser")]
const SCRIPT_TAKES_CLICK: &str = "(() => {
    let taken;
    const last = (event) => { taken = event.defaultPrevented; event.preventDefault(); };
    window.addEventListener('click', last, { once: true });
    document.querySelector(`a[href='/']`).click();
    return taken;
})()";

/// A user whose name must be escaped.
fn ada() -> Persona {
    Persona::new("1", "Ada <3")
}

/// The text of a page, or of the page that it redirects to.
async fn open(browser: &mut Browser<'_>, path: &str) -> String {
    let mut page = browser.get(path).await.expect("it answers");
    if page.status().is_redirection() {
        page = browser.get(location(&page)).await.expect("it answers");
    }
    assert!(page.status().is_success(), "{}", page.status());
    text(page.body())
}

/// The page without its tags and comments, and with what they escape.
fn text(html: &str) -> String {
    let mut text = String::new();
    for part in html.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_tag, text)| text));
    }
    text.replace("&lt;", "<").replace("&#60;", "<")
}

fn location<T>(response: &Response<T>) -> &str {
    assert!(response.status().is_redirection(), "{}", response.status());
    response.headers()["location"].to_str().expect("is ASCII")
}
