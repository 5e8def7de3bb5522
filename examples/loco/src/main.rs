//! A Loco app with users in its database: `cargo run start` in this folder.

mod app;
mod pages;
mod telegram;
mod users;

#[tokio::main]
async fn main() -> loco_rs::Result<()> {
    loco_rs::cli::main::<app::App, users::Migrator>().await
}
