//! The page's tests of whole logins.

use std::net::SocketAddr;

use axum::{Router, response::Redirect, routing::get};
use bondify_axum::{
    Bondify,
    client::Client,
    login::{Login, LoginExt, SignedIn},
};
use bondify_emulator::{Browser, Emulator, Persona, ProjectSettings};
use tokio::net::TcpListener;

/// The app under test.
fn app(login: &Login) -> Router {
    let on_login = async |login: SignedIn| Redirect::to(&format!("/users/{}", login.user.id()));
    Router::new().route("/", get("home")).merge(login.routes("/login", on_login))
}

/// Starts the app, on a local Bondify.
async fn start() -> anyhow::Result<(Emulator, SocketAddr)> {
    let shop = ProjectSettings::new().id("proj_shop").public_access(true);
    let emulator = Emulator::builder().project(shop).start().await?;
    let bondify = Bondify::builder(emulator.project("proj_shop")?.secret()).build()?;
    let api = Client::builder().base_url(emulator.url()).build()?;
    let login = Login::builder(api.sessions("proj_shop"), &bondify);
    let login = login.origin("https://shop.example").cookie_key([7; 32]).build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app(&login)).await });
    Ok((emulator, address))
}

#[tokio::test]
async fn a_user_signs_in() -> anyhow::Result<()> {
    let (emulator, app) = start().await?;
    let mut browser = Browser::new(&emulator, app);
    let answer = browser.sign_in("/login", Persona::new("42", "Ada")).await?;
    assert_eq!(answer.headers()["location"], "/users/42");
    Ok(())
}

#[tokio::test]
async fn a_user_who_cancels_is_not_signed_in() -> anyhow::Result<()> {
    let (emulator, app) = start().await?;
    let mut browser = Browser::new(&emulator, app);
    let session = browser.begin("/login").await?;
    emulator.cancel(&session)?; // or `expire`
    let page = browser.finish("/login").await?;
    assert!(page.headers().get("location").is_none());
    Ok(())
}

#[tokio::test]
async fn another_browser_cannot_finish_a_login() -> anyhow::Result<()> {
    let (emulator, app) = start().await?;
    let session = Browser::new(&emulator, app).begin("/login").await?;
    emulator.confirm(&session, Persona::new("42", "Ada"))?;
    let page = Browser::new(&emulator, app).finish("/login").await?;
    assert!(page.headers().get("location").is_none());
    Ok(())
}
