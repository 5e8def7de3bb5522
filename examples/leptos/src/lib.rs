//! The pages, which the server renders and the browser hydrates.

mod account;
mod app;

pub use crate::account::User;
pub use crate::app::{App, shell};

/// Called in the browser when the program is loaded.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(App);
}
