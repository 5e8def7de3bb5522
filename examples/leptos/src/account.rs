//! The server functions. Each is a route that anybody can call: each looks for the user itself.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

/// A user who is signed in.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct User {
    pub telegram_id: String,
    pub name: String,
}

/// The user of the browser's session. `None` for a visitor.
#[server]
pub(crate) async fn current_user() -> Result<Option<User>, ServerFnError> {
    // The browser is not told the cause of an error.
    let unavailable = ServerFnError::new("unavailable");
    let session = leptos_axum::extract::<tower_sessions::Session>().await;
    let session = session.map_err(|_| unavailable.clone())?;
    session.get("user").await.map_err(|_| unavailable)
}

/// The text that only the user may see. `None` for a visitor.
#[server]
pub(crate) async fn account() -> Result<Option<String>, ServerFnError> {
    let user = current_user().await?;
    Ok(user.map(|user| format!("Your Telegram id is {}.", user.telegram_id)))
}
