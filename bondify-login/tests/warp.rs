//! The attack suite on warp.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod suite;

use bondify_testkit::http_suite::Server;
use bondify_warp::login::{Login, LoginExt, SignedIn};
use suite::{Framework, browser_suite, handle, login_suite};
use tokio::net::TcpListener;
use warp::{
    Filter, Reply,
    http::{
        StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
    reply::{Response, with_header},
};

struct Warp;

impl Framework for Warp {
    async fn serve(login: Login) -> Server {
        let routes = warp::path("login").and(login.routes(on_login));
        let routes = routes.or(warp::path("link").and(login.routes(on_login)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Server::new(address, warp::serve(routes).incoming(listener).run())
    }
}

async fn on_login(login: SignedIn) -> Response {
    if let Err(status) = handle(&login).await {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let cookie = format!("session={}; HttpOnly; Path=/", login.user.id());
    let reply = with_header(StatusCode::SEE_OTHER, SET_COOKIE, cookie);
    with_header(reply, LOCATION, login.return_to).into_response()
}

login_suite!(Warp);
browser_suite! { in_a_browser: Warp, Ours:
    a_phone_signs_a_browser_in
    a_restart_behind_nginx_is_survived
}
browser_suite!(#[ignore = "scripts/browsers runs it"] each_in_a_browser: Warp, Ours);
browser_suite! { in_a_browser_with_a_single_page_app: Warp, App:
    a_phone_signs_a_browser_in
    a_finish_that_is_lost_is_sent_again
}
