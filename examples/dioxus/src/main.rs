//! A fullstack app in Dioxus: `mkdir -p target/debug/public && cargo run --features server` in this folder starts the server,
//! whose pages work without scripts. `dx serve` compiles the program for the browser too, into that folder.

mod account;
mod app;
#[cfg(feature = "server")]
mod server;

#[cfg(feature = "server")]
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    server::run().await
}

/// In the browser.
#[cfg(not(feature = "server"))]
fn main() {
    dioxus::launch(app::App);
}
