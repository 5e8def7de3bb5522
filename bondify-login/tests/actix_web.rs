//! The attack suite on actix-web.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod suite;

use std::{future::pending, sync::mpsc, thread};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::ServerHandle,
    http::{
        StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
    rt::System,
    web::Data,
};
use bondify_actix::login::{Login, LoginExt, SignedIn};
use bondify_testkit::http_suite::Server;
use suite::{Framework, browser_suite, handle, login_suite};

struct ActixWeb;

impl Framework for ActixWeb {
    async fn serve(login: Login) -> Server {
        let (started, starting) = mpsc::channel();
        thread::spawn(move || {
            System::new().block_on(async move {
                let app = move || {
                    App::new()
                        .app_data(Data::new("session"))
                        .configure(login.routes("/login", on_login))
                        .configure(login.routes("/link", on_login))
                };
                let server = HttpServer::new(app).workers(2).disable_signals();
                let server = server.bind("127.0.0.1:0").unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                started.send((address, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (address, handle) = starting.recv().unwrap();
        let stopper = Stopper(handle);
        Server::new(address, async move {
            let _stopper = stopper;
            pending().await
        })
    }
}

struct Stopper(ServerHandle);

impl Drop for Stopper {
    fn drop(&mut self) {
        // The call sends the command. The future only waits for its end.
        drop(self.0.stop(false));
    }
}

async fn on_login(SignedIn(login): SignedIn, cookie: Data<&'static str>) -> HttpResponse {
    if let Err(status) = handle(&login).await {
        return HttpResponse::new(StatusCode::from_u16(status).unwrap());
    }
    HttpResponse::SeeOther()
        .insert_header((SET_COOKIE, format!("{}={}; HttpOnly; Path=/", **cookie, login.user.id())))
        .insert_header((LOCATION, login.return_to))
        .finish()
}

login_suite!(ActixWeb);
browser_suite! { in_a_browser: ActixWeb, Ours:
    a_phone_signs_a_browser_in
    a_restart_behind_nginx_is_survived
}
browser_suite!(#[ignore = "scripts/browsers runs it"] each_in_a_browser: ActixWeb, Ours);
browser_suite!(in_a_browser_with_the_page_of_the_guide: ActixWeb, OfTheGuide);
browser_suite! { in_a_browser_with_a_single_page_app: ActixWeb, App:
    a_phone_signs_a_browser_in
    a_finish_that_is_lost_is_sent_again
}
