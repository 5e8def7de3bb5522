//! A real browser to test pages in: headless Chromium, or Firefox if `BONDIFY_TEST_BROWSER` is `firefox`.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bondify_testkit::skipped;
use fantoccini::{
    Client, ClientBuilder, Locator,
    elements::Element,
    error::CmdError,
    wd::{WebDriverCompatibleCommand, WindowHandle},
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::time::sleep;
use url::{ParseError, Url};

/// A window of a browser with a profile of its own, closed when dropped.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    // Dropped last: it ends the browser.
    driver: Driver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Chromium,
    Firefox,
}

impl Kind {
    fn chosen() -> Self {
        match std::env::var("BONDIFY_TEST_BROWSER").as_deref() {
            Ok("firefox") => Self::Firefox,
            _ => Self::Chromium,
        }
    }

    fn driver(self) -> &'static str {
        match self {
            Self::Chromium => "chromedriver",
            Self::Firefox => "geckodriver",
        }
    }

    fn driver_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Chromium => &["--port=0"],
            // The second one allows `Browser::go_offline`.
            Self::Firefox => &["--port=0", "--allow-system-access"],
        }
    }

    /// The settings of a browser whose pages run scripts, or not.
    fn capabilities(self, scripts: bool) -> Value {
        match self {
            Self::Chromium => json!({
                "browserName": "chrome",
                "timeouts": {"script": 60_000, "pageLoad": 60_000},
                "goog:loggingPrefs": {"browser": "ALL"},
                // Chromium's sandbox works neither for root nor in most containers.
                "goog:chromeOptions": {
                    "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage"],
                    "prefs": match scripts {
                        true => json!({}),
                        false => json!({"profile.managed_default_content_settings.javascript": 2}),
                    },
                },
            }),
            Self::Firefox => json!({
                "browserName": "firefox",
                "timeouts": {"script": 60_000, "pageLoad": 60_000},
                "moz:firefoxOptions": {
                    "args": ["-headless"],
                    "prefs": {"javascript.enabled": scripts},
                },
            }),
        }
    }
}

/// The screen that a page is shown on.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// Whether the system prefers a dark colour scheme.
    pub dark: bool,
}

impl Device {
    /// 1280 by 800, light.
    pub const SCREEN: Self = Self { width: 1280, height: 800, dark: false };
    /// 390 by 844, light.
    pub const PHONE: Self = Self { width: 390, height: 844, dark: false };

    /// The same device with a dark colour scheme.
    #[must_use]
    pub fn dark(self) -> Self {
        Self { dark: true, ..self }
    }
}

/// The time-out of every wait.
const TIMEOUT: Duration = Duration::from_secs(60);

impl Browser {
    /// Opens a window. Returns `None` and reports it if the browser's driver is not installed.
    ///
    /// # Panics
    ///
    /// If the browser does not start; in CI also if its driver is not installed.
    pub async fn open() -> Option<Self> {
        Self::open_with(true).await
    }

    /// Opens a window in which pages run no scripts. Returns `None` and reports it if the browser's
    /// driver is not installed.
    ///
    /// # Panics
    ///
    /// If the browser does not start; in CI also if its driver is not installed.
    pub async fn open_without_scripts() -> Option<Self> {
        Self::open_with(false).await
    }

    async fn open_with(scripts: bool) -> Option<Self> {
        let kind = Kind::chosen();
        let mut driver = Driver::start(kind)?;
        let Value::Object(capabilities) = kind.capabilities(scripts) else { unreachable!() };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(&driver.url()).await;
        let client = client.expect("the browser starts");
        driver.session = client.session_id().await.expect("there is a session");
        let browser = Self { client, driver };
        browser.show_on(Device::SCREEN).await;
        Some(browser)
    }

    /// Whether the browser is Chromium. Some methods work in Chromium only.
    #[must_use]
    pub fn is_chromium(&self) -> bool {
        self.driver.kind == Kind::Chromium
    }

    /// Shows pages as on this device from now on. In Firefox only the size changes, to at least 450 pixels.
    ///
    /// # Panics
    ///
    /// If the browser has ended. The other methods panic then, too.
    pub async fn show_on(&self, Device { width, height, dark }: Device) {
        if !self.is_chromium() {
            self.client.set_window_size(width, height).await.expect("the window changes its size");
            return;
        }
        let theme = if dark { "dark" } else { "light" };
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}),
        )
        .await;
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({"features": [
                {"name": "prefers-color-scheme", "value": theme},
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ]}),
        )
        .await;
    }

    /// Cuts the browser off the network, or connects it again.
    ///
    /// # Panics
    ///
    /// If the browser has ended.
    pub async fn go_offline(&self, offline: bool) {
        if self.is_chromium() {
            let conditions = json!({
                "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
            });
            self.devtools("Network.emulateNetworkConditions", conditions).await;
        } else {
            self.command("moz/context", json!({"context": "chrome"})).await;
            self.value_of(&format!("Services.io.offline = {offline}")).await;
            self.command("moz/context", json!({"context": "content"})).await;
        }
    }

    /// Freezes the page as browsers freeze a tab in the background, or wakes it up. In Chromium only.
    ///
    /// # Panics
    ///
    /// In another browser.
    pub async fn freeze(&self, frozen: bool) {
        let state = if frozen { "frozen" } else { "active" };
        self.devtools("Page.setWebLifecycleState", json!({"state": state})).await;
    }

    /// Opens a tab and goes on in it. Returns the tab that was left.
    ///
    /// # Panics
    ///
    /// If the browser has ended.
    pub async fn open_tab(&self) -> Tab {
        let left = self.client.window().await.expect("there is a window");
        let opened = self.client.new_window(true).await.expect("a tab opens");
        self.client.switch_to_window(opened.handle).await.expect("the tab is there");
        Tab(left)
    }

    /// Goes on in a tab.
    ///
    /// # Panics
    ///
    /// If the tab is closed.
    pub async fn switch_to(&self, tab: &Tab) {
        self.client.switch_to_window(tab.0.clone()).await.expect("the tab is there");
    }

    /// Closes the current tab. The next call must be [`switch_to`](Self::switch_to).
    ///
    /// # Panics
    ///
    /// If the browser has ended.
    pub async fn close_tab(&self) {
        self.client.close_window().await.expect("the tab closes");
    }

    /// Goes back by one page, as the Back button does.
    ///
    /// # Panics
    ///
    /// If the page is not loaded within a minute.
    pub async fn back(&self) {
        self.client.back().await.expect("the page opens");
    }

    /// Lets pages run their scripts, or not, from now on. In Chromium only.
    ///
    /// # Panics
    ///
    /// In another browser.
    pub async fn run_scripts(&self, run: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": !run})).await;
    }

    /// Opens a page, and returns when it is loaded.
    ///
    /// # Panics
    ///
    /// If it is not loaded within a minute.
    pub async fn goto(&self, url: &str) {
        self.client.goto(url).await.expect("the page opens");
    }

    /// The value of an expression in JavaScript.
    ///
    /// # Panics
    ///
    /// If the expression throws.
    pub async fn value_of(&self, expression: &str) -> Value {
        let value = self.client.execute(&format!("return {expression}"), Vec::new()).await;
        value.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until a page is loaded, all of it, in which an expression in JavaScript is true.
    ///
    /// # Panics
    ///
    /// If it is not true within a minute.
    pub async fn wait_until(&self, expression: &str) {
        let start = Instant::now();
        let condition =
            format!("return document.readyState == 'complete' && Boolean({expression})");
        // An error means that the next page is being loaded.
        while !matches!(self.client.execute(&condition, Vec::new()).await, Ok(Value::Bool(true))) {
            if start.elapsed() >= TIMEOUT {
                let (url, text) = (self.value_of("location.href").await, self.text().await);
                panic!("never true: {expression}\nat {url}:\n{text}");
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the page shows a text.
    ///
    /// # Panics
    ///
    /// If it does not show the text within a minute.
    pub async fn wait_for_text(&self, text: &str) {
        self.wait_until(&format!("document.body.innerText.includes({})", json!(text))).await;
    }

    /// The visible text of the page.
    pub async fn text(&self) -> String {
        let text = self.value_of("document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits for an element that matches a CSS selector.
    ///
    /// # Panics
    ///
    /// If there is none within a minute.
    pub async fn find(&self, selector: &str) -> Element {
        let wait = self.client.wait().at_most(TIMEOUT).every(Duration::from_millis(10));
        let found = wait.for_element(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    /// Waits for an element and clicks on it.
    ///
    /// # Panics
    ///
    /// If there is none within a minute, or another element covers it.
    pub async fn click(&self, selector: &str) {
        self.act_on(selector, async |element| element.click().await).await;
    }

    /// Waits for a field and replaces its text.
    ///
    /// # Panics
    ///
    /// If there is none within a minute.
    pub async fn fill(&self, selector: &str, text: &str) {
        let fill = async |field: Element| {
            field.clear().await?;
            field.send_keys(text).await
        };
        self.act_on(selector, fill).await;
    }

    /// Acts on an element. Tries again if it is not shown yet, or an update has replaced it.
    async fn act_on(&self, selector: &str, act: impl AsyncFn(Element) -> Result<(), CmdError>) {
        let start = Instant::now();
        loop {
            match act(self.find(selector).await).await {
                Ok(()) => return,
                Err(error)
                    if (error.is_stale_element_reference()
                        || error.is_element_not_interactable())
                        && start.elapsed() < TIMEOUT => {}
                Err(error) => panic!("{selector}: {error}"),
            }
        }
    }

    /// Types on the keyboard, into the element with the focus.
    ///
    /// # Panics
    ///
    /// If no element takes keys.
    pub async fn press(&self, keys: &str) {
        let focused = self.client.active_element().await.expect("something has the focus");
        focused.send_keys(keys).await.expect("it takes keys");
    }

    /// The messages in the browser's console since the last call. In Chromium only.
    ///
    /// # Panics
    ///
    /// In another browser.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.command("se/log", json!({"type": "browser"})).await;
        let entries = log.as_array().into_iter().flatten();
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    /// Saves a picture of the visible part of the page.
    ///
    /// # Panics
    ///
    /// If the file cannot be written.
    pub async fn screenshot(&self, path: &Path) {
        let png = self.client.screenshot().await.expect("there is something to see");
        fs::write(path, png).expect("it can be written");
    }

    /// The accessibility violations of the page that axe-core finds. The environment variable
    /// `BONDIFY_TEST_AXE` is the path of `axe.min.js`; without it, the check is skipped with a message.
    ///
    /// # Panics
    ///
    /// If axe-core cannot be run; in CI also if the variable is not set.
    pub async fn barriers(&self) -> Vec<String> {
        let Ok(path) = std::env::var("BONDIFY_TEST_AXE") else {
            skipped("BONDIFY_TEST_AXE", "is not set");
            return Vec::new();
        };
        let axe = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let run = "const done = arguments[0];
            axe.run(document).then(({ violations }) => done(violations
                .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`)),
                (error) => done([String(error)]));";
        self.client.execute(&axe, Vec::new()).await.expect("axe-core loads");
        let found = self.client.execute_async(run, Vec::new()).await.expect("axe-core runs");
        found.as_array().into_iter().flatten().map(Value::to_string).collect()
    }

    async fn devtools(&self, method: &str, params: Value) {
        self.command("goog/cdp/execute", json!({"cmd": method, "params": params})).await;
    }

    async fn command(&self, path: &'static str, body: Value) -> Value {
        let answer = self.client.issue_cmd(DriverCommand { path, body }).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// A tab of a [`Browser`].
#[derive(Debug)]
pub struct Tab(WindowHandle);

/// A command that only one driver knows.
#[derive(Debug)]
struct DriverCommand {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for DriverCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

/// A driver on a free port.
#[derive(Debug)]
struct Driver {
    kind: Kind,
    process: Child,
    port: u16,
    session: Option<String>,
}

impl Driver {
    /// Returns `None` and reports it if the driver is not installed.
    fn start(kind: Kind) -> Option<Self> {
        // ChromeDriver chooses a port that is free for IPv6, and ends if the port is not free for IPv4.
        for _attempt in 0..100 {
            let mut command = Command::new(kind.driver());
            command.args(kind.driver_arguments()).stdout(Stdio::piped()).stderr(Stdio::null());
            let process = match command.spawn() {
                Ok(process) => process,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    skipped(kind.driver(), "is not installed");
                    return None;
                }
                Err(error) => panic!("{}: {error}", kind.driver()),
            };
            let driver = Self::listening(kind, process);
            if driver.is_some() {
                return driver;
            }
        }
        panic!("{} ended without printing its port", kind.driver());
    }

    /// Returns `None` if the process ends before it listens.
    fn listening(kind: Kind, mut process: Child) -> Option<Self> {
        let output = process.stdout.take().expect("is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let port = match kind {
                Kind::Chromium => line.rsplit_once("successfully on port ")?.1,
                Kind::Firefox => line.rsplit_once("Listening on 127.0.0.1:")?.1,
            };
            port.trim_end_matches('.').parse().ok()
        });
        let Some(port) = port else {
            let _status = process.wait();
            return None;
        };
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { kind, process, port, session: None })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends the browser of this driver. ChromeDriver ends, too.
    fn shut_down(&self) -> std::io::Result<()> {
        let request = match (self.kind, &self.session) {
            (Kind::Chromium, _) => "GET /shutdown".to_owned(),
            (Kind::Firefox, Some(session)) => format!("DELETE /session/{session}"),
            (Kind::Firefox, None) => return Ok(()),
        };
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        let rest = "host: localhost\r\nconnection: close\r\n\r\n";
        connection.write_all(format!("{request} HTTP/1.1\r\n{rest}").as_bytes())?;
        connection.read_to_end(&mut Vec::new()).map(drop)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let ends = self.shut_down().is_ok() && self.kind == Kind::Chromium;
        if !ends {
            let _already_ended = self.process.kill();
        }
        let _status = self.process.wait();
    }
}
