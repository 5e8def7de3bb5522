//! The scenarios of the sign-in in a browser. Each page passes them on a framework of its own. The others pass those
//! that depend on the framework: its routes, streams and hang-ups. Our page alone passes those that depend on nothing
//! but the script, which is the same in all pages.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bondify_login::LoginBuilder;
use example_support::browser::{Browser, Device};
use test_engines::{Nginx, Proxy, Upstream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::{Framework, Rig, own_page::with_my_page};

/// Whether the page's first request for the state was answered.
const HAS_ASKED: &str = "performance.getEntriesByType('resource')\
    .some(({ name, initiatorType }) => initiatorType === 'fetch' && name.includes('id='))";

/// The page that the user sees.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// The default page.
    Ours,
    /// The page of the guide.
    OfTheGuide,
    /// The single-page app of `examples/spa`.
    App,
}

/// Expands to a module with one test per scenario.
macro_rules! browser_suite {
    ($module:ident: $framework:ty, $page:ident: $($case:ident)*) => {
        $crate::suite::browser_suite! { #[cfg(test)] $module: $framework, $page: $($case)* }
    };
    (#[$attribute:meta] $module:ident: $framework:ty, $page:ident: $($case:ident)*) => {
        mod $module {
            use super::*;
            use crate::suite::browser::{self, Page};

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[$attribute]
                async fn $case() {
                    browser::$case::<$framework>(Page::$page).await;
                }
            )*
        }
    };
    ($module:ident: $framework:ty, Ours) => {
        $crate::suite::browser_suite! { #[cfg(test)] $module: $framework, Ours }
    };
    (#[$attribute:meta] $module:ident: $framework:ty, Ours) => {
        $crate::suite::browser_suite! { #[$attribute] $module: $framework, Ours:
            a_phone_signs_a_browser_in
            a_silent_event_stream_does_not_keep_the_user_out
            a_page_that_wakes_up_asks_at_once
            a_proxy_that_holds_the_event_stream_back_does_not_keep_the_user_out
            a_browser_that_was_offline_signs_in
            a_frozen_tab_signs_in
            the_back_button_leads_to_a_page_that_is_up_to_date
            a_page_that_the_browser_has_kept_asks_again
            a_restart_behind_nginx_is_survived
            seven_tabs_leave_connections_for_others
            a_blocked_script_does_not_keep_the_user_out
        }
    };
    ($module:ident: $framework:ty, OfTheGuide) => {
        $crate::suite::browser_suite! { $module: $framework, OfTheGuide:
            a_phone_signs_a_browser_in
            a_silent_event_stream_does_not_keep_the_user_out
            a_proxy_that_holds_the_event_stream_back_does_not_keep_the_user_out
            a_browser_that_was_offline_signs_in
            a_frozen_tab_signs_in
            the_back_button_leads_to_a_page_that_is_up_to_date
            a_page_that_the_browser_has_kept_asks_again
            a_restart_behind_nginx_is_survived
            a_blocked_script_does_not_keep_the_user_out
        }
    };
    ($module:ident: $framework:ty, App) => {
        $crate::suite::browser_suite! { $module: $framework, App:
            a_phone_signs_a_browser_in
            a_silent_event_stream_does_not_keep_the_user_out
            a_proxy_that_holds_the_event_stream_back_does_not_keep_the_user_out
            a_browser_that_was_offline_signs_in
            a_frozen_tab_signs_in
            the_back_button_leads_to_a_page_that_is_up_to_date
            a_restart_behind_nginx_is_survived
            a_finish_that_is_lost_is_sent_again
        }
    };
}

pub(crate) use browser_suite;

pub(crate) async fn a_phone_signs_a_browser_in<F: Framework>(page: Page) {
    let site = Site::start::<F>(page).await;
    let Some(browser) = Browser::open().await else { return };
    let Some(phone) = Browser::open().await else { return };
    phone.show_on(Device::PHONE).await;
    site.begin(&browser).await;
    let link = browser.value_of("document.querySelector('a[target]').href").await;
    phone.goto(link.as_str().unwrap()).await;
    phone.wait_for_text("Shop wants to log you in").await;
    phone.click("button[value=confirm]").await;
    site.signed_in(&browser).await;
    site.visit(&phone).await;
    phone.wait_for_text("Sign in with Telegram").await; // it is not signed in itself
}

/// A NAT or a proxy has forgotten the connection. Nobody has closed it.
pub(crate) async fn a_silent_event_stream_does_not_keep_the_user_out<F: Framework>(page: Page) {
    let site = Site::start::<F>(page).await;
    let Some(browser) = Browser::open().await else { return };
    site.begin(&browser).await;
    site.rig.until_waiting(1).await;
    site.proxy.go_deaf();
    site.confirm();
    site.signed_in(&browser).await;
}

/// The next heartbeat is due in an hour, so nothing but the event can make the page ask.
pub(crate) async fn a_page_that_wakes_up_asks_at_once<F: Framework>(page: Page) {
    let rarely = |login: LoginBuilder| login.keep_alive(Duration::from_secs(60 * 60));
    let site = Site::start_with::<F>(page, rarely).await;
    let Some(browser) = Browser::open().await else { return };
    for wakes in [
        "document.dispatchEvent(new Event('visibilitychange'))",
        "dispatchEvent(new Event('pageshow'))",
        "dispatchEvent(new Event('online'))",
        "dispatchEvent(new Event('focus'))",
    ] {
        site.begin(&browser).await;
        site.rig.until_waiting(1).await;
        browser.wait_until(HAS_ASKED).await; // A request in flight would be lost.
        site.proxy.go_deaf();
        site.confirm();
        browser.value_of(wakes).await;
        site.signed_in(&browser).await;
        site.sign_out(&browser).await;
    }
}

pub(crate) async fn a_proxy_that_holds_the_event_stream_back_does_not_keep_the_user_out<
    F: Framework,
>(
    page: Page,
) {
    let site = Site::start::<F>(page).await;
    site.front.change(|front| front.holds_events = true);
    let Some(browser) = Browser::open().await else { return };
    site.begin(&browser).await;
    site.confirm();
    site.signed_in(&browser).await;
}

pub(crate) async fn a_browser_that_was_offline_signs_in<F: Framework>(page: Page) {
    let site = Site::start::<F>(page).await;
    let Some(browser) = Browser::open().await else { return };
    site.begin(&browser).await;
    site.rig.until_waiting(1).await;
    browser.go_offline(true).await;
    site.stop().await; // Chromium still reaches servers of the same machine.
    browser.wait_for_text("Trying again").await;
    site.confirm();
    site.start_again();
    browser.go_offline(false).await;
    site.signed_in(&browser).await;
}

/// A phone froze the browser, because the user was in Telegram.
pub(crate) async fn a_frozen_tab_signs_in<F: Framework>(page: Page) {
    let site = Site::start::<F>(page).await;
    let Some(browser) = Browser::open().await else { return };
    if !browser.is_chromium() {
        return; // Only Chromium freezes a page on request.
    }
    site.begin(&browser).await;
    site.rig.until_waiting(1).await;
    browser.freeze(true).await;
    site.proxy.go_deaf();
    site.confirm();
    browser.freeze(false).await;
    site.signed_in(&browser).await;
}

pub(crate) async fn the_back_button_leads_to_a_page_that_is_up_to_date<F: Framework>(page: Page) {
    let site = Site::start::<F>(page).await;
    let Some(browser) = Browser::open().await else { return };
    site.begin(&browser).await;
    browser.goto(&format!("{}/elsewhere", site.origin)).await;
    site.confirm();
    browser.back().await;
    site.signed_in(&browser).await;
    if page != Page::App {
        browser.back().await;
        browser.wait_until("!document.body.innerText.includes('Waiting')").await;
    }
}

/// Some browsers keep a page that was left, and show it as it was.
pub(crate) async fn a_page_that_the_browser_has_kept_asks_again<F: Framework>(page: Page) {
    let site = Site::start::<F>(page).await;
    let Some(browser) = Browser::open().await else { return };
    site.begin(&browser).await;
    browser
        .value_of("HTMLFormElement.prototype.submit = () => dispatchEvent(new Event('sent'))")
        .await;
    browser.value_of("addEventListener('sent', () => document.body.dataset.sent = 'yes')").await;
    site.confirm();
    browser.wait_until("document.body.dataset.sent").await;
    browser.value_of("delete document.body.dataset.sent").await;
    browser.value_of("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))").await;
    browser.wait_until("document.body.dataset.sent").await;
}

/// nginx answers 502 as long as the server is down.
pub(crate) async fn a_restart_behind_nginx_is_survived<F: Framework>(page: Page) {
    let Some(site) = Site::start_behind_nginx::<F>(page).await else { return };
    let Some(browser) = Browser::open().await else { return };
    site.begin(&browser).await;
    site.rig.until_waiting(1).await;
    let still_there = "document.querySelector('a[target]').loaded";
    browser.value_of(&format!("{still_there} = 'once'")).await;
    site.stop().await;
    browser.wait_for_text("Trying again").await;
    // A page with a refresh would be replaced by the 502.
    let refresh = "document.querySelector('meta[http-equiv]')";
    assert!(browser.value_of(refresh).await.is_null(), "a refresh");
    site.start_again();
    browser.wait_until("!document.body.innerText.includes('Trying again')").await;
    browser.wait_for_text("Waiting for you to confirm").await;
    assert_eq!(browser.value_of(still_there).await, "once", "it is the same page");
    site.confirm();
    site.signed_in(&browser).await;
}

/// A browser opens at most six HTTP/1.1 connections to a host.
pub(crate) async fn seven_tabs_leave_connections_for_others<F: Framework>(page: Page) {
    let site = Site::start::<F>(page).await;
    let Some(browser) = Browser::open().await else { return };
    let elsewhere = format!("{}/elsewhere", site.origin);
    site.begin(&browser).await;
    let mut tabs = vec![browser.open_tab().await];
    for _ in 1..7 {
        site.visit(&browser).await;
        browser.wait_for_text("Waiting for you to confirm").await;
        tabs.push(browser.open_tab().await);
    }
    browser.goto(&elsewhere).await;
    browser.close_tab().await;
    assert_eq!(site.front.requests("GET /login/events"), 1);

    let last = tabs.pop().unwrap();
    for tab in &tabs {
        browser.switch_to(tab).await;
        browser.close_tab().await;
    }
    browser.switch_to(&last).await;
    site.front.has_more_requests("GET /login/events", 1).await; // of a tab that only asked before
    site.confirm();
    site.signed_in(&browser).await;
}

/// A proxy adds a policy of its own, or rewrites the script.
pub(crate) async fn a_blocked_script_does_not_keep_the_user_out<F: Framework>(page: Page) {
    let site = Site::start::<F>(page).await;
    site.front.change(|front| front.blocks_scripts = true);
    let Some(browser) = Browser::open().await else { return };
    site.begin(&browser).await;
    let shown = site.front.requests("GET /login");
    site.confirm();
    // ChromeDriver may hang in a command that a refresh interrupts.
    site.front.has_more_requests("GET /login", shown).await;
    browser.click("#finish button").await;
    site.signed_in(&browser).await;
}

pub(crate) async fn a_finish_that_is_lost_is_sent_again<F: Framework>(page: Page) {
    let site = Site::start::<F>(page).await;
    let Some(browser) = Browser::open().await else { return };
    site.begin(&browser).await;
    site.front.change(|front| front.loses = Some("POST /login/finish"));
    site.confirm();
    browser.wait_for_text("Trying again").await;
    site.front.change(|front| front.loses = None);
    site.signed_in(&browser).await;
}

/// The sign-in as browsers see it: the server behind a front, behind a proxy that can fail.
pub(crate) struct Site {
    rig: Rig,
    page: Page,
    origin: String,
    front: Front,
    front_address: SocketAddr,
    proxy: Proxy,
    _nginx: Option<Nginx>,
}

impl Site {
    async fn start<F: Framework>(page: Page) -> Self {
        Self::start_with::<F>(page, |login| login).await
    }

    async fn start_with<F: Framework>(
        page: Page,
        set: impl FnOnce(LoginBuilder) -> LoginBuilder,
    ) -> Self {
        let (front, proxy) = listen().await;
        Self::serve::<F>(page, front, proxy, None, set).await
    }

    async fn start_behind_nginx<F: Framework>(page: Page) -> Option<Self> {
        let (front, proxy) = listen().await;
        let nginx = Nginx::in_front_of(proxy.address()).await?;
        Some(Self::serve::<F>(page, front, proxy, Some(nginx), |login| login).await)
    }

    /// The address that browsers see is known before the server starts, since the origin has to be set by
    /// then.
    async fn serve<F: Framework>(
        page: Page,
        listener: TcpListener,
        proxy: Proxy,
        nginx: Option<Nginx>,
        set: impl FnOnce(LoginBuilder) -> LoginBuilder,
    ) -> Self {
        let address = nginx.as_ref().map_or(proxy.address(), Nginx::address);
        let origin = format!("http://{address}");
        let with_page = if page == Page::OfTheGuide { with_my_page } else { |login| login };
        let set = |login: LoginBuilder| set(with_page(login.origin(origin.clone())));
        let rig = Rig::with::<F>(Duration::from_secs(600), set).await;
        let front_address = listener.local_addr().unwrap();
        let front = Front::default();
        tokio::spawn(front.clone().serve(listener, rig.server.address()));
        Self { rig, page, origin, front, front_address, proxy, _nginx: nginx }
    }

    /// Opens the page.
    async fn visit(&self, browser: &Browser) {
        let path = if self.page == Page::App { "/" } else { "/login?return_to=/login%3Fdone" };
        browser.goto(&format!("{}{path}", self.origin)).await;
    }

    /// Begins a login in the current tab.
    async fn begin(&self, browser: &Browser) {
        self.visit(browser).await;
        browser.click("button").await;
        browser.wait_for_text("Waiting for you to confirm").await;
    }

    /// Confirms the newest login.
    fn confirm(&self) {
        let token = self.rig.emulator.sessions()[0].token.clone();
        self.rig.confirm(&token, "42");
    }

    /// Waits until the browser is signed in.
    async fn signed_in(&self, browser: &Browser) {
        match self.page {
            Page::App => browser.wait_for_text("Welcome, Ada").await,
            // The handler redirects there. The server has nothing else to show.
            _ => browser.wait_until("location.search === '?done'").await,
        }
    }

    async fn sign_out(&self, browser: &Browser) {
        if self.page == Page::App {
            browser.click("button").await;
            browser.wait_for_text("Sign in with Telegram").await;
        }
    }

    /// Stops forwarding, as if the server had ended.
    async fn stop(&self) {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        self.proxy.redirect(Upstream::Tcp(nobody));
        self.proxy.cut();
    }

    fn start_again(&self) {
        self.proxy.redirect(Upstream::Tcp(self.front_address));
    }
}

async fn listen() -> (TcpListener, Proxy) {
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(Upstream::Tcp(front.local_addr().unwrap())).await.unwrap();
    (front, proxy)
}

/// Forwards requests for the login to the server, and answers all others in the app's place.
#[derive(Clone, Default)]
struct Front(Arc<Mutex<Faults>>);

#[derive(Clone, Default)]
struct Faults {
    holds_events: bool,
    blocks_scripts: bool,
    /// The beginning of the requests that are lost.
    loses: Option<&'static str>,
    /// The first lines of the requests so far.
    requests: Vec<String>,
}

impl Front {
    fn change(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The number of requests so far that begin like this.
    fn requests(&self, begin: &str) -> usize {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.requests.iter().filter(|line| line.starts_with(begin)).count()
    }

    /// Waits until the number of requests is more than `before`.
    async fn has_more_requests(&self, begin: &str, before: usize) {
        let more = async {
            while self.requests(begin) <= before {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(60), more).await.expect("there is a request");
    }

    async fn serve(self, listener: TcpListener, server: SocketAddr) {
        while let Ok((browser, _)) = listener.accept().await {
            tokio::spawn(self.clone().answer(browser, server));
        }
    }

    /// Answers a request. Then the connection ends.
    async fn answer(self, mut browser: TcpStream, server: SocketAddr) -> io::Result<()> {
        let mut received = Vec::new();
        while !is_complete(&received) {
            if browser.read_buf(&mut received).await? == 0 {
                return Ok(()); // Browsers open connections in advance.
            }
        }
        let request = String::from_utf8(received).unwrap();
        let (line, rest) = request.split_once("\r\n").unwrap();
        let path = line.split(' ').nth(1).unwrap();
        if !path.starts_with("/login") {
            return browser.write_all(app(path, &request).as_bytes()).await;
        }
        self.change(|front| front.requests.push(line.to_owned()));
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if faults.holds_events && path.starts_with("/login/events") {
            return std::future::pending().await;
        }
        if faults.loses.is_some_and(|lost| line.starts_with(lost)) {
            return Ok(());
        }
        let mut server = TcpStream::connect(server).await?;
        server.write_all(format!("{line}\r\nconnection: close\r\n{rest}").as_bytes()).await?;
        if faults.blocks_scripts {
            let mut status = Vec::new();
            while !status.ends_with(b"\r\n") {
                status.push(server.read_u8().await?);
            }
            status.extend(b"content-security-policy: script-src 'none'\r\n");
            browser.write_all(&status).await?;
        }
        copy_bidirectional(&mut browser, &mut server).await?;
        Ok(())
    }
}

/// Whether a request has been received with its body.
fn is_complete(received: &[u8]) -> bool {
    let received = String::from_utf8_lossy(received);
    let Some((head, body)) = received.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.split_once("content-length: ").map_or("0", |(_, rest)| rest);
    let length = length.lines().next().unwrap_or_default();
    body.len() >= length.parse::<usize>().unwrap()
}

/// The app's answer. Its page must have a body: Chromium replaces an empty 404 by its own page.
fn app(path: &str, request: &str) -> String {
    let is_signed_in = request.contains("session=");
    let signs_out = request.starts_with("DELETE");
    let cookie = if signs_out { "set-cookie: session=; Max-Age=0; Path=/\r\n" } else { "" };
    let (status, content_type, body) = match path {
        "/" if !request.contains("application/json") => {
            (200, "text/html", include_str!("../../../examples/spa/assets/index.html"))
        }
        "/app.js" => (200, "text/javascript", include_str!("../../../examples/spa/assets/app.js")),
        "/follow.js" => (200, "text/javascript", include_str!("../../assets/follow.js")),
        "/" | "/me" if is_signed_in && !signs_out => {
            (200, "application/json", r#"{"id":"42","name":"Ada"}"#)
        }
        "/me" => (200, "application/json", "null"),
        "/elsewhere" => (200, "text/plain", "elsewhere"),
        _ => (404, "text/plain", ""),
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Status\r\n{cookie}content-type: {content_type}\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}
