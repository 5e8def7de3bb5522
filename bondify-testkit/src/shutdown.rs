//! Helpers for tests of a server's shutdown.

use std::{io, net::SocketAddr, process::Command};

use crate::Connection;

/// Opens two connections that a graceful shutdown would wait for without end: one has sent half the head
/// of a request, and one has received the beginning of an endless response to `GET /events`.
///
/// ```
/// use std::{io, net::SocketAddr};
///
/// use bondify_testkit::shutdown::{open_connections, terminate_this_process};
///
/// /// `server` shuts down on SIGTERM.
/// async fn shut_down_while_connected(server: SocketAddr) -> io::Result<()> {
///     let connections = open_connections(server).await?;
///     terminate_this_process();
///     // Assert that the server ends in time.
///     drop(connections);
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// The error of a socket, and [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the server closes the
/// connection instead of answering.
pub async fn open_connections(server: SocketAddr) -> io::Result<[Connection; 2]> {
    let mut half_a_head = Connection::open(server).await?;
    half_a_head.send(b"POST / HTTP/1.1\r\nhost: ").await?;
    let mut stream = Connection::open(server).await?;
    stream.send(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    stream.part_of_a_response().await?;
    Ok([half_a_head, stream])
}

/// Sends SIGTERM to this process, with the command `kill`.
///
/// # Panics
///
/// If there is no such command, and if it fails.
pub fn terminate_this_process() {
    let kill = Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status();
    assert!(kill.expect("there is a command `kill`").success(), "SIGTERM is sent");
}
