//! A list of 60 MB is read in a few megabytes of memory. The test has a process of its own, because it
//! measures the memory of the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failure in a test is its report")]

use std::{
    fs, io,
    time::{Duration, SystemTime},
};

use bondify_client::Client;
use bondify_testkit::within_a_minute;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufWriter},
    net::{TcpListener, TcpStream},
};

const SESSIONS: u64 = 60_000;
const BYTES: usize = 60_000_000;

/// Every thousandth session is an hour old. The others are a year old.
async fn list(mut stream: TcpStream) -> io::Result<usize> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
    let hour = 60 * 60 * 1000;
    let mut stream = BufWriter::new(stream);
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"sessions\":[").await?;
    let mut sent = 0;
    for number in 0..SESSIONS {
        let age = if number % 1000 == 0 { hour } else { 365 * 24 * hour };
        let comma = if number == 0 { "" } else { "," };
        let session = format!(
            r#"{comma}{{"session_token":"sess_{number}","project_id":"proj_shop","status":"confirmed",
                "telegram_id":"1","telegram_name":"{:>900}","created_at":{at},"confirmed_at":{at}}}"#,
            "Ada",
            at = now - age,
        );
        stream.write_all(session.as_bytes()).await?;
        sent += session.len();
    }
    stream.write_all(b"]}").await?;
    stream.shutdown().await?;
    Ok(sent)
}

/// A number of bytes in `/proc/self/status`.
fn memory(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_60_mb_needs_the_memory_of_the_sessions_that_are_kept() {
    within_a_minute(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { list(listener.accept().await.unwrap().0).await });
        let developer = Client::builder().base_url(url).build().unwrap().developer("t").unwrap();
        let before = memory("VmRSS:");
        let day = Duration::from_secs(24 * 60 * 60);
        let past = developer.past_events("proj_shop", Duration::ZERO..=day).await.unwrap();
        assert!(server.await.unwrap().unwrap() >= BYTES);
        assert_eq!((past.events.records.len(), past.events.unreadable), (60, 0));
        let used = memory("VmHWM:").saturating_sub(before);
        assert!(used < BYTES / 4, "{used} bytes of memory for a list of {BYTES} bytes");
    })
    .await;
}
