//! A real browser to test pages in: headless Chromium, which ChromeDriver drives.

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
    Client, ClientBuilder, Locator, elements::Element, error::CmdError,
    wd::WebDriverCompatibleCommand,
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
    _driver: Driver,
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
    /// Opens a window. Returns `None` and reports it if ChromeDriver is not installed.
    ///
    /// # Panics
    ///
    /// If Chromium does not start; in CI also if ChromeDriver is not installed.
    pub async fn open() -> Option<Self> {
        Self::open_with(json!({})).await
    }

    /// Opens a window in which pages run no scripts. Returns `None` and reports it if ChromeDriver is not
    /// installed.
    ///
    /// # Panics
    ///
    /// If Chromium does not start; in CI also if ChromeDriver is not installed.
    pub async fn open_without_scripts() -> Option<Self> {
        Self::open_with(json!({"profile.managed_default_content_settings.javascript": 2})).await
    }

    async fn open_with(preferences: Value) -> Option<Self> {
        let driver = Driver::start()?;
        let capabilities = json!({
            "browserName": "chrome",
            "timeouts": {"script": 60_000, "pageLoad": 60_000},
            "goog:loggingPrefs": {"browser": "ALL"},
            // Chromium's sandbox works neither for root nor in most containers.
            "goog:chromeOptions": {
                "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage"],
                "prefs": preferences,
            },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(&driver.url()).await;
        let browser = Self { client: client.expect("Chromium starts"), _driver: driver };
        browser.show_on(Device::SCREEN).await;
        Some(browser)
    }

    /// Shows pages as on this device from now on.
    ///
    /// # Panics
    ///
    /// If the browser has ended. The other methods panic then, too.
    pub async fn show_on(&self, Device { width, height, dark }: Device) {
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

    /// Lets pages run their scripts, or not, from now on.
    ///
    /// # Panics
    ///
    /// If the browser is gone.
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

    /// Waits until an expression in JavaScript is true.
    ///
    /// # Panics
    ///
    /// If it is not true within a minute.
    pub async fn wait_until(&self, expression: &str) {
        let start = Instant::now();
        let condition = format!("Boolean({expression})");
        while self.value_of(&condition).await != true {
            assert!(start.elapsed() < TIMEOUT, "never true: {expression}\n{}", self.text().await);
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

    /// The messages in the browser's console since the last call.
    ///
    /// # Panics
    ///
    /// If the browser has ended.
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

    /// The serious accessibility violations of the page that axe-core finds. The environment variable
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
                .filter(({ impact }) => ['serious', 'critical'].includes(impact))
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

/// A command that only ChromeDriver knows.
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

/// A ChromeDriver on a free port.
#[derive(Debug)]
struct Driver {
    process: Child,
    port: u16,
}

impl Driver {
    /// Returns `None` and reports it if ChromeDriver is not installed.
    fn start() -> Option<Self> {
        // ChromeDriver chooses a port that is free for IPv6, and ends if the port is not free for IPv4.
        for _attempt in 0..100 {
            let mut command = Command::new("chromedriver");
            command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
            let process = match command.spawn() {
                Ok(process) => process,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    skipped("chromedriver", "is not installed");
                    return None;
                }
                Err(error) => panic!("chromedriver: {error}"),
            };
            let driver = Self::listening(process);
            if driver.is_some() {
                return driver;
            }
        }
        panic!("chromedriver ended without printing its port");
    }

    /// Returns `None` if the process ends before it listens.
    fn listening(mut process: Child) -> Option<Self> {
        let output = process.stdout.take().expect("is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            line.rsplit_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        let Some(port) = port else {
            let _status = process.wait();
            return None;
        };
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, port })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends the browsers of this ChromeDriver, and the process.
    fn shut_down(&self) -> std::io::Result<()> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        connection
            .write_all(b"GET /shutdown HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        connection.read_to_end(&mut Vec::new()).map(drop)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.shut_down().is_err() {
            let _already_ended = self.process.kill();
        }
        let _status = self.process.wait();
    }
}
