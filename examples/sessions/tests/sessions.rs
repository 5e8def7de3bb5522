//! Each program, over HTTP: the same visits on each framework.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use bondify_emulator::{Browser, Emulator, Persona, ProjectSettings};
use bondify_testkit::within_a_minute;
use example_support::browser;
use sqlx::SqlitePool;
use tempfile::TempDir;

/// A program, on a database and a Bondify of its own.
struct Program {
    address: SocketAddr,
    emulator: Emulator,
    database: String,
    child: Child,
    _folder: TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    async fn start(binary: &str) -> Self {
        let project = ProjectSettings::new().id("proj_shop").public_access(true);
        let emulator = Emulator::builder().project(project).start().await.unwrap();
        let project = emulator.project("proj_shop").unwrap();
        let folder = TempDir::new().unwrap();
        let database = format!("sqlite:{}?mode=rwc", folder.path().join("shop.db").display());
        // Rocket's origin has the port that it is told. Another program may take that port first.
        for _attempt in 0..10 {
            let mut child = Command::new(binary)
                .env("PORT", free_port().to_string())
                .env("DATABASE_URL", &database)
                .env("BONDIFY_PROJECT_ID", "proj_shop")
                .env("BONDIFY_API_URL", emulator.url())
                .env("BONDIFY_WEBHOOK_SECRET", project.reveal_secret())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            if let Some(line) = lines.next() {
                let line = line.unwrap();
                let address = line.strip_prefix("sign in on http://").unwrap().parse().unwrap();
                return Self { address, emulator, database, child, _folder: folder };
            }
            child.wait().unwrap();
        }
        panic!("{binary} does not start");
    }

    fn browser(&self) -> Browser<'_> {
        Browser::new(&self.emulator, self.address)
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn ada() -> Persona {
    Persona::new("1", "Ada")
}

fn location<T>(response: &axum::http::Response<T>) -> &str {
    assert!(response.status().is_redirection(), "{}", response.status());
    response.headers()["location"].to_str().unwrap()
}

/// Everything that the page of the guide promises.
async fn visits(binary: &str) {
    let program = Program::start(binary).await;
    let mut browser = program.browser();
    assert!(browser.get("/").await.unwrap().body().contains("Sign in with Telegram"));

    // The page that requires a login comes back to where the user was.
    let login = location(&browser.get("/account").await.unwrap()).to_owned();
    let done = browser.sign_in(&login, ada()).await.unwrap();
    assert_eq!(location(&done), "/account");
    let account = browser.get("/account").await.unwrap();
    assert!(account.body().contains("The account of <bdi>Ada</bdi>"), "{account:?}");
    assert!(browser.get("/").await.unwrap().body().contains("Welcome, <bdi>Ada</bdi>"));

    // A user who cancels is not signed in, and neither is another browser.
    let mut other = program.browser();
    let session = other.begin("/login").await.unwrap();
    program.emulator.cancel(&session).unwrap();
    other.finish("/login").await.unwrap();
    let session = other.begin("/login").await.unwrap();
    program.emulator.confirm(&session, ada()).unwrap();
    program.browser().finish("/login").await.unwrap();
    assert!(other.get("/").await.unwrap().body().contains("Sign in with Telegram"));

    // Another sign-in is shown, and one browser signs out all.
    other.finish("/login").await.unwrap();
    let account = browser.get("/account").await.unwrap();
    assert_eq!(account.body().matches("<li>").count(), 2, "{account:?}");
    assert_eq!(location(&browser.post("/logout", "").await.unwrap()), "/");
    assert!(browser.get("/").await.unwrap().body().contains("Sign in with Telegram"));
    assert!(other.get("/").await.unwrap().body().contains("Welcome"));
    browser.sign_in("/login", ada()).await.unwrap();
    // The second time comes from a page that was open before.
    for _ in 0..2 {
        assert_eq!(location(&browser.post("/logout/everywhere", "").await.unwrap()), "/");
    }
    assert!(other.get("/").await.unwrap().body().contains("Sign in with Telegram"));

    // A login at `/link` signs nobody in, and one at `/login` links nothing.
    browser.sign_in("/link", ada()).await.unwrap();
    assert!(browser.get("/").await.unwrap().body().contains("Sign in with Telegram"));

    // Another Telegram account of the same user.
    browser.sign_in("/login", ada()).await.unwrap();
    assert_eq!(
        location(&browser.sign_in("/link", Persona::new("2", "Countess")).await.unwrap()),
        "/account"
    );
    other.sign_in("/login", Persona::new("2", "Countess")).await.unwrap();
    assert!(other.get("/").await.unwrap().body().contains("Welcome, <bdi>Ada</bdi>"));
    other.sign_in("/login", Persona::new("1", "Bob")).await.unwrap();
    assert!(other.get("/").await.unwrap().body().contains("Welcome, <bdi>Bob</bdi>"));
    let taken = browser.sign_in("/link", Persona::new("1", "Bob")).await.unwrap();
    assert_eq!(taken.status(), 409);

    // A banned user has no session and gets none.
    let users = SqlitePool::connect(&program.database).await.unwrap();
    sqlx::query("UPDATE users SET is_banned = TRUE WHERE name = 'Bob'")
        .execute(&users)
        .await
        .unwrap();
    assert!(other.get("/").await.unwrap().body().contains("Sign in with Telegram"));
    let refused = other.sign_in("/login", Persona::new("1", "Bob")).await.unwrap();
    assert_eq!(refused.status(), 403);
    assert!(other.get("/").await.unwrap().body().contains("Sign in with Telegram"));
}

/// The same, by clicks in a browser that runs the scripts of the page and keeps the cookies by its own rules.
async fn visits_in_a_browser(binary: &str) {
    let program = Program::start(binary).await;
    let Some(browser) = browser::Browser::open().await else { return };
    let begin = async |button: &str| {
        browser.click(button).await;
        browser.wait_for_text("Waiting for you to confirm").await;
        program.emulator.sessions()[0].token.clone()
    };
    let sign_in = async |button: &str, persona: Persona| {
        program.emulator.confirm(&begin(button).await, persona).unwrap();
    };
    let to_login = "form[action$='/login'] button";

    // The page that requires a login comes back to where the user was, also after a cancelled one.
    browser.goto(&format!("http://{}/account", program.address)).await;
    program.emulator.cancel(&begin(to_login).await).unwrap();
    browser.wait_for_text("You cancelled the login").await;
    sign_in(to_login, ada()).await;
    browser.wait_for_text("The account of Ada").await;

    // Another Telegram account of the same user signs in, too.
    let countess = || Persona::new("2", "Countess");
    sign_in("form[action='/link'] button", countess()).await;
    browser.wait_for_text("The account of Ada").await;
    browser.goto(&format!("http://{}/", program.address)).await;
    browser.click("form[action='/logout'] button").await;
    sign_in(to_login, countess()).await;
    browser.wait_for_text("Welcome, Ada").await;

    browser.goto(&format!("http://{}/account", program.address)).await;
    browser.click("form[action='/logout/everywhere'] button").await;
    browser.wait_for_text("Sign in with Telegram").await;
}

macro_rules! visits {
    ($($program:ident: $binary:literal)*) => {$(
        mod $program {
            use super::*;

            const BINARY: &str = env!(concat!("CARGO_BIN_EXE_", $binary));

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_http() {
                within_a_minute(visits(BINARY)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_a_browser() {
                visits_in_a_browser(BINARY).await;
            }
        }
    )*};
}

visits! {
    with_tower_sessions: "tower_sessions"
    with_axum_login: "axum_login"
    with_actix_session: "actix_session"
    with_private_cookies_of_rocket: "rocket_cookies"
    with_an_encrypted_cookie_on_warp: "warp_cookies"
}
