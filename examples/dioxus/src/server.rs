use axum::{Router, http::StatusCode, response::Redirect, routing::post};
use bondify_axum::login::{LoginExt, SignedIn};
use dioxus::{
    cli_config::fullstack_address_or_localhost,
    server::{DioxusRouterExt, ServeConfig},
};
use tokio::net::TcpListener;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, session::Error};

use crate::{account::User, app::App};

pub(crate) async fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind(fullstack_address_or_localhost()).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let login = example_support::login::start(&origin).await?;
    let app = Router::new()
        .serve_dioxus_application(ServeConfig::new(), App)
        .route("/logout", post(sign_out))
        .merge(login.routes("/login", on_login))
        // Around all routes, so that server functions have the session.
        // Another store keeps sessions over a restart. Behind TLS leave out `with_secure`.
        .layer(SessionManagerLayer::new(MemoryStore::default()).with_secure(false));
    println!("sign in on {origin}");
    Ok(axum::serve(listener, app).await?)
}

/// Called once for each login, in the browser that began it.
async fn on_login(login: SignedIn, session: Session) -> Result<Redirect, StatusCode> {
    let user = User {
        telegram_id: login.user.id().as_str().to_owned(),
        name: login.user.name().to_owned(),
    };
    session.cycle_id().await.map_err(unavailable)?; // nobody has planted the new id
    session.insert("user", user).await.map_err(unavailable)?;
    Ok(Redirect::to(&login.return_to))
}

async fn sign_out(session: Session) -> Result<Redirect, StatusCode> {
    session.flush().await.map_err(unavailable)?;
    Ok(Redirect::to("/"))
}

fn unavailable(_: Error) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}
