//! The app as a process, over HTTP: the sign-in, the webhook, and the users in the database.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::Path, process::Command, time::Duration};

use bondify_emulator::{DeliveryState, Persona, ProjectSettings};
use example_support::{process::own_address, shop::Shop};
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

fn database(folder: &Path) -> String {
    format!("sqlite:{}?mode=rwc", folder.join("loco.db").display())
}

async fn start(folder: &Path) -> Shop {
    let address = own_address();
    let variables = [
        ("HOST", &*address.ip().to_string()),
        ("PORT", &*address.port().to_string()),
        ("DATABASE_URL", &*database(folder)),
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_example-loco"));
    command.arg("start");
    let shop = Shop::start(command, &variables).await;
    // Loco prints its address before it listens.
    let listens = async {
        while TcpStream::connect(address).await.is_err() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(30), listens).await.unwrap();
    shop
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_signs_in_and_out() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path()).await.visit().await;
    assert_eq!(users(folder.path()).await, [("1".to_owned(), "Ada <3".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_and_the_sign_in_create_one_user() {
    let folder = tempfile::tempdir().unwrap();
    let shop = start(folder.path()).await;
    let webhook = ProjectSettings::new().webhook_url(shop.url("/webhooks/bondify"));
    shop.emulator().update_project("proj_shop", webhook).unwrap();

    // No browser finishes this login.
    let session = shop.emulator().generate("proj_shop").unwrap();
    shop.emulator().confirm(&session.token, Persona::new("2", "Bob")).unwrap();
    let delivery = shop.emulator().delivery_of(&session.token).await.unwrap();
    assert_eq!(delivery.state, DeliveryState::Delivered);
    assert_eq!(users(folder.path()).await, [("2".to_owned(), "Bob".to_owned())]);

    let mut browser = shop.browser();
    browser.sign_in("/login", Persona::new("2", "Bobby")).await.unwrap();
    assert_eq!(users(folder.path()).await, [("2".to_owned(), "Bobby".to_owned())]);
}

/// The Telegram ids and names in the table.
async fn users(folder: &Path) -> Vec<(String, String)> {
    let database = Database::connect(database(folder)).await.unwrap();
    let select = Statement::from_string(DbBackend::Sqlite, "SELECT telegram_id, name FROM users");
    let rows = database.query_all_raw(select).await.unwrap();
    rows.iter()
        .map(|row| (row.try_get("", "telegram_id").unwrap(), row.try_get("", "name").unwrap()))
        .collect()
}
