//! The sign-in of the examples, on a local Bondify unless a project is set.

use std::env;

use bondify_client::{Client, Sessions};
use bondify_core::{Bondify, Secret};
use bondify_emulator::{Emulator, ProjectSettings};
use bondify_login::Login;

/// The sign-in of an app at `origin`, for [`project`].
///
/// # Errors
///
/// If a setting is missing or invalid.
pub async fn start(origin: &str) -> anyhow::Result<Login> {
    let (sessions, secret) = project().await?;
    let bondify = Bondify::builder(secret).build()?;
    Ok(Login::builder(sessions, &bondify).origin(origin).app_name("Shop").build()?)
}

/// The session API of a project, and its webhook secret.
///
/// It is the project of `BONDIFY_PROJECT_ID`, at `BONDIFY_API_URL` if that is set. Without a project it starts a
/// local Bondify, on which you play the user.
///
/// # Errors
///
/// If a setting is missing or invalid.
pub async fn project() -> anyhow::Result<(Sessions, Secret)> {
    let (api, project, secret) = match env::var("BONDIFY_PROJECT_ID") {
        Ok(project) => {
            let api = env::var("BONDIFY_API_URL").unwrap_or(Client::DEFAULT_BASE_URL.to_owned());
            (api, project, Secret::from_env("BONDIFY_WEBHOOK_SECRET")?)
        }
        Err(_) => {
            let project = ProjectSettings::new().id("proj_shop").name("Shop").public_access(true);
            let local = Emulator::builder().project(project).start().await?;
            let secret = local.project("proj_shop")?.secret();
            let api = local.url().to_owned();
            std::mem::forget(local); // it runs as long as the program
            (api, "proj_shop".to_owned(), secret)
        }
    };
    Ok((Client::builder().base_url(api).build()?.sessions(project), secret))
}
