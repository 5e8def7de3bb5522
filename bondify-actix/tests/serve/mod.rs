use std::{future::pending, sync::mpsc, thread};

use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    rt::System,
    web::{Data, ServiceConfig},
};
use bondify_testkit::{Script, http_suite::Server};

/// Serves on a thread and a runtime of its own, as `#[actix_web::main]` does.
pub(crate) fn serve(
    script: Script,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> Server {
    let (started, starting) = mpsc::channel();
    thread::spawn(move || {
        System::new().block_on(async move {
            let app = move || App::new().app_data(Data::new(script.clone())).configure(&configure);
            let server = HttpServer::new(app).workers(1).disable_signals();
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

struct Stopper(ServerHandle);

impl Drop for Stopper {
    fn drop(&mut self) {
        // The call sends the command. The future, which is dropped, only waits for its end.
        drop(self.0.stop(false));
    }
}
