//! The attack suite on axum.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod suite;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::SET_COOKIE},
    response::{IntoResponse, Redirect},
};
use bondify_axum::login::{Login, LoginExt, SignedIn};
use bondify_testkit::http_suite::Server;
use suite::{Framework, browser_suite, handle, login_suite};
use tokio::net::TcpListener;

struct Axum;

impl Framework for Axum {
    async fn serve(login: Login) -> Server {
        let app = Router::new().merge(login.routes("/login", on_login));
        let app = app.merge(login.routes("/link", on_login)).with_state("session");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Server::new(address, async { axum::serve(listener, app).await.unwrap() })
    }
}

async fn on_login(
    login: SignedIn,
    State(cookie): State<&'static str>,
) -> Result<impl IntoResponse, StatusCode> {
    handle(&login).await.map_err(|status| StatusCode::from_u16(status).unwrap())?;
    let cookie = format!("{cookie}={}; HttpOnly; Path=/", login.user.id());
    Ok(([(SET_COOKIE, cookie)], Redirect::to(&login.return_to)))
}

login_suite!(Axum);
browser_suite!(in_a_browser: Axum, Ours);
browser_suite! { in_a_browser_with_a_single_page_app: Axum, App:
    a_phone_signs_a_browser_in
    a_finish_that_is_lost_is_sent_again
}
