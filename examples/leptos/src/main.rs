//! A fullstack app in Leptos: `cargo run --features ssr` in this folder starts the server,
//! whose pages work without scripts. `cargo leptos serve` compiles the program for the browser too.

use axum::{Router, http::StatusCode, response::Redirect, routing::post};
use bondify_axum::login::{LoginExt, SignedIn};
use example_leptos::{App, User, shell};
use leptos::prelude::get_configuration;
use leptos_axum::{LeptosRoutes, file_and_error_handler, generate_route_list};
use tokio::net::TcpListener;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, session::Error};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = get_configuration(None)?.leptos_options;
    let listener = TcpListener::bind(options.site_addr).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let login = example_support::login::start(&origin).await?;
    let page = {
        let options = options.clone();
        move || shell(options.clone())
    };
    let app = Router::new()
        .leptos_routes(&options, generate_route_list(App), page)
        .fallback(file_and_error_handler(shell))
        .route("/logout", post(sign_out))
        .merge(login.routes("/login", on_login))
        // Around all routes, so that server functions have the session.
        // Another store keeps sessions over a restart. Behind TLS leave out `with_secure`.
        .layer(SessionManagerLayer::new(MemoryStore::default()).with_secure(false))
        .with_state(options);
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
