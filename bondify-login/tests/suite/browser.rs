use std::{io, net::SocketAddr, time::Duration};

use example_support::browser::{Browser, Device};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{Framework, Rig};

pub(crate) async fn a_browser_signs_in_with_a_phone<F: Framework>() {
    let (_rig, origin) = behind_a_front::<F>().await;
    let Some([browser, phone]) = devices().await else { return };
    // The page must have a body: Chromium replaces an empty 404 by its own page.
    browser.goto(&format!("{origin}/login?return_to=/login%3Fdone")).await;
    browser.click("button").await;
    confirm(&browser, &phone).await;
    browser.wait_until("location.search === '?done'").await;
    phone.goto(&format!("{origin}/login")).await;
    phone.wait_for_text("Sign in with Telegram").await; // it is not signed in itself
}

/// The single-page app is that of `examples/spa`.
pub(crate) async fn a_single_page_app_signs_in_with_a_phone<F: Framework>() {
    let (_rig, origin) = behind_a_front::<F>().await;
    let Some([browser, phone]) = devices().await else { return };
    browser.goto(&origin).await;
    browser.value_of("window.loaded = 'once'").await;
    browser.click("button").await;
    confirm(&browser, &phone).await;
    browser.wait_for_text("Welcome, Ada").await;
    assert_eq!(browser.value_of("window.loaded").await, "once");
    phone.goto(&origin).await;
    phone.wait_for_text("Sign in with Telegram").await; // it is not signed in itself
}

async fn devices() -> Option<[Browser; 2]> {
    let devices = [Browser::open().await?, Browser::open().await?];
    devices[1].show_on(Device::PHONE).await;
    Some(devices)
}

/// Confirms on the phone the login that the browser waits for.
async fn confirm(browser: &Browser, phone: &Browser) {
    browser.wait_for_text("Waiting for you to confirm").await;
    let link = browser.value_of("document.querySelector('a.primary').href").await;
    phone.goto(link.as_str().unwrap()).await;
    phone.wait_for_text("Shop wants to log you in").await;
    phone.click("button[value=confirm]").await;
}

/// Starts a rig behind a front, whose address is known before the server starts, since the origin
/// has to be set by then.
async fn behind_a_front<F: Framework>() -> (Rig, String) {
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", front.local_addr().unwrap());
    let rig = Rig::with::<F>(Duration::from_secs(600), |login| login.origin(origin.clone())).await;
    tokio::spawn(serve(front, rig.server.address()));
    (rig, origin)
}

async fn serve(front: TcpListener, server: SocketAddr) {
    while let Ok((browser, _)) = front.accept().await {
        tokio::spawn(answer(browser, server));
    }
}

/// Forwards a request for the login to the server, and answers any other in the app's place. Then
/// the connection ends.
async fn answer(mut browser: TcpStream, server: SocketAddr) -> io::Result<()> {
    let mut received = Vec::new();
    while !received.windows(4).any(|end| end == b"\r\n\r\n") {
        if browser.read_buf(&mut received).await? == 0 {
            return Ok(()); // Browsers open connections in advance.
        }
    }
    let request = String::from_utf8(received).unwrap();
    let (line, rest) = request.split_once("\r\n").unwrap();
    let path = line.split(' ').nth(1).unwrap();
    if path.starts_with("/login") {
        let mut server = TcpStream::connect(server).await?;
        server.write_all(format!("{line}\r\nconnection: close\r\n{rest}").as_bytes()).await?;
        copy_bidirectional(&mut browser, &mut server).await?;
        return Ok(());
    }
    let is_signed_in = request.contains("session=");
    let (status, content_type, body) = match path {
        "/" if !request.contains("application/json") => {
            (200, "text/html", include_str!("../../../examples/spa/assets/index.html"))
        }
        "/app.js" => (200, "text/javascript", include_str!("../../../examples/spa/assets/app.js")),
        "/" | "/me" if is_signed_in => (200, "application/json", r#"{"id":"42","name":"Ada"}"#),
        "/me" => (401, "text/plain", ""),
        _ => (404, "text/plain", ""),
    };
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: {content_type}\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    browser.write_all(response.as_bytes()).await
}
