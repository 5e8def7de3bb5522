//! The app as a process, over HTTP.

use std::process::Command;

use example_support::shop::Shop;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_signs_in_and_out_without_scripts() {
    let command = Command::new(env!("CARGO_BIN_EXE_example-dioxus"));
    // An empty folder, in place of the one that `dx` makes.
    let variables = [("PORT", "0"), ("DIOXUS_PUBLIC_PATH", env!("CARGO_TARGET_TMPDIR"))];
    Shop::start(command, &variables).await.visit().await;
}
