//! The server functions. Each is a route that anybody can call: each looks for the user itself.

use dioxus::prelude::*;
use serde::{Deserialize, Serialize};

/// A user who is signed in.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct User {
    pub(crate) telegram_id: String,
    pub(crate) name: String,
}

/// The user of the browser's session. `None` for a visitor.
#[get("/api/user", session: tower_sessions::Session)]
pub(crate) async fn current_user() -> ServerFnResult<Option<User>> {
    // The browser is not told the cause of an error.
    session.get("user").await.map_err(|_| ServerFnError::new("unavailable"))
}

/// The text that only the user may see. `None` for a visitor.
#[get("/api/account")]
pub(crate) async fn account() -> ServerFnResult<Option<String>> {
    let user = current_user().await?;
    Ok(user.map(|user| format!("Your Telegram id is {}.", user.telegram_id)))
}
