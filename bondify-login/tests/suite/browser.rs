use std::{net::SocketAddr, time::Duration};

use example_support::browser::{Browser, Device};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use super::{Framework, Rig};

pub(crate) async fn a_browser_signs_in_with_a_phone<F: Framework>() {
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", front.local_addr().unwrap());
    let rig = Rig::with::<F>(Duration::from_secs(600), |login| login.origin(origin.clone())).await;
    tokio::spawn(forward(front, rig.server.address()));
    let Some(browser) = Browser::open().await else { return };
    let Some(phone) = Browser::open().await else { return };
    phone.show_on(Device::PHONE).await;

    // The page must have a body: Chromium replaces an empty 404 by its own page.
    browser.goto(&format!("{origin}/login?return_to=/login%3Fdone")).await;
    browser.click("button").await;
    browser.wait_for_text("Waiting for you to confirm").await;
    let link = browser.value_of("document.querySelector('a.primary').href").await;
    phone.goto(link.as_str().unwrap()).await;
    phone.wait_for_text("Shop wants to log you in").await;
    phone.click("button[value=confirm]").await;

    browser.wait_until("location.search === '?done'").await;
    phone.goto(&format!("{origin}/login")).await;
    phone.wait_for_text("Sign in with Telegram").await; // it is not signed in itself
}

/// Forwards connections of a known address to the server, because the origin is set before the server
/// starts.
async fn forward(front: TcpListener, server: SocketAddr) {
    while let Ok((mut browser, _)) = front.accept().await {
        tokio::spawn(async move {
            let mut server = TcpStream::connect(server).await?;
            copy_bidirectional(&mut browser, &mut server).await
        });
    }
}
