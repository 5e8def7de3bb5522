//! The page's test of a whole login.

use axum::{Router, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt};
use bondify_emulator::{DeliveryState, Emulator, Persona, ProjectSettings};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_login_reaches_the_server() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let webhook_url = format!("http://{}/webhooks/bondify", listener.local_addr()?);
    let shop = ProjectSettings::new().id("proj_shop").webhook_url(webhook_url);
    let emulator = Emulator::builder().project(shop).start().await?;

    let secret = emulator.project("proj_shop")?.secret().clone();
    let bondify = Bondify::builder(secret).build()?;
    let on_event = async |_event: BondifyEvent| StatusCode::NO_CONTENT;
    let app = Router::new().route("/webhooks/bondify", bondify.post(on_event));
    tokio::spawn(async { axum::serve(listener, app).await });

    let session = emulator.generate("proj_shop")?;
    emulator.confirm(&session.token, Persona::new("7123456789", "Ada Lovelace"))?;
    let delivery = emulator.delivery_of(&session.token).await?;
    assert_eq!(delivery.state, DeliveryState::Delivered);
    Ok(())
}
