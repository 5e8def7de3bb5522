//! Without a TLS feature, a URL that demands TLS is refused, and nothing is sent unencrypted. For
//! `scripts/features`: with all features this file is empty.

#![cfg(not(feature = "tls-rustls"))]

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use bondify_sqlx::sqlx::{Error, MySqlPool, PgPool};

#[tokio::test]
async fn a_postgres_url_that_demands_tls_is_refused() {
    let server = Server::start(&[]);
    let url = format!("postgres://shop:secret@{}/shop?sslmode=require", server.address);
    is_refused(PgPool::connect(&url).await.unwrap_err());
    assert_eq!(server.received(), b"");
}

#[tokio::test]
async fn a_mysql_url_that_demands_tls_is_refused() {
    let server = Server::start(GREETING);
    let url = format!("mysql://shop:secret@{}/shop?ssl-mode=REQUIRED", server.address);
    is_refused(MySqlPool::connect(&url).await.unwrap_err());
    assert_eq!(server.received(), b"");
}

fn is_refused(error: Error) {
    let Error::Tls(error) = error else { panic!("{error:?}") };
    let text = error.to_string();
    assert!(text.contains("built without TLS support"), "{text}");
}

/// The first message of a MySQL server, which can encrypt.
const GREETING: &[u8] = b"\x4a\x00\x00\x00\x0a8.0.44\x00\x01\x00\x00\x00\
    12345678\x00\xff\xff\xff\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    123456789012\x00mysql_native_password\x00";

/// A server that says one thing and remembers what it is told.
struct Server {
    address: std::net::SocketAddr,
    received: thread::JoinHandle<Vec<u8>>,
}

impl Server {
    fn start(greeting: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it listens");
        let received = thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a client connects");
            client.write_all(greeting).expect("the client reads");
            let mut received = Vec::new();
            client.read_to_end(&mut received).expect("the client ends");
            received
        });
        Self { address, received }
    }

    fn received(self) -> Vec<u8> {
        self.received.join().expect("the client ends")
    }
}
