//! Each program, over HTTP: the same visits on each framework.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
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
        let folder = TempDir::new().unwrap();
        let database = format!("sqlite:{}?mode=rwc", folder.path().join("shop.db").display());
        let mut child = Command::new(binary)
            .env("PORT", "0")
            .env("DATABASE_URL", &database)
            .env("BONDIFY_PROJECT_ID", "proj_shop")
            .env("BONDIFY_API_URL", emulator.url())
            .env("BONDIFY_WEBHOOK_SECRET", emulator.project("proj_shop").unwrap().reveal_secret())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let address = line.strip_prefix("sign in on http://").unwrap().parse().unwrap();
        Self { address, emulator, database, child, _folder: folder }
    }

    fn browser(&self) -> Browser<'_> {
        Browser::new(&self.emulator, self.address)
    }
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
    browser.post("/logout/everywhere", "").await.unwrap();
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

macro_rules! visits {
    ($($program:ident: $binary:literal)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $program() {
            within_a_minute(visits(env!(concat!("CARGO_BIN_EXE_", $binary)))).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_chromium() {
    within_a_minute(async {
        let program = Program::start(env!("CARGO_BIN_EXE_tower_sessions")).await;
        let Some(browser) = browser::Browser::open().await else { return };
        browser.goto(&format!("http://{}/account", program.address)).await;
        let mut changes = program.emulator.changes();
        browser.click("button").await;
        changes.next().await; // the session
        program.emulator.confirm(&program.emulator.sessions()[0].token, ada()).unwrap();
        browser.wait_for_text("The account of Ada").await;
        browser.click("form[action='/logout/everywhere'] button").await;
        browser.wait_for_text("Sign in with Telegram").await;
    })
    .await;
}
