//! The app as a process: over HTTP, and in a browser, if the program for it is in `DIOXUS_PUBLIC_PATH`.

use std::process::Command;

use example_support::shop::Shop;

async fn shop() -> Shop {
    Shop::start(Command::new(env!("CARGO_BIN_EXE_example-dioxus")), &[("PORT", "0")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_signs_in_and_out_without_scripts() {
    shop().await.visit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_signs_in_and_out_in_a_browser() {
    shop().await.visit_in_a_browser().await;
}
