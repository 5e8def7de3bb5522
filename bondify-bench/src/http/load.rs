//! A load generator that signs a new event for each request, so that no event is a duplicate.

use std::{
    cell::Cell,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{self, Runtime},
};

use super::{process::Server, server::PATH};
use crate::{
    cores::pin_to_load_core,
    events::{USUAL_SIZE, body, signature},
    rounds::quantile,
};

/// Load on a server: keep-alive connections with one request at a time each.
pub(super) struct Load {
    runtime: Rc<Runtime>,
    pub(super) connections: usize,
    pub(super) length: Duration,
    /// The number of the next event.
    next: Rc<Cell<u64>>,
}

/// The measurements of one turn of load.
pub(super) struct Turn {
    /// Requests per second.
    pub(super) rate: f64,
    /// The latency that a hundredth of the requests exceeds, in microseconds.
    pub(super) p99: f64,
    /// The server's CPU time per request, in microseconds.
    pub(super) cpu: f64,
    /// The share of its core that the server used.
    pub(super) busy: f64,
}

impl Load {
    /// Creates load that lasts `seconds` a turn, and pins this thread to its core.
    pub(super) fn new(connections: usize, seconds: f64) -> io::Result<Self> {
        pin_to_load_core()?;
        let runtime = Rc::new(runtime::Builder::new_current_thread().enable_all().build()?);
        let length = Duration::from_secs_f64(seconds);
        Ok(Self { runtime, connections, length, next: Rc::default() })
    }

    /// The same load with turns of another length.
    pub(super) fn lasting(&self, length: Duration) -> Self {
        let Self { runtime, connections, next, .. } = self;
        Self { runtime: runtime.clone(), connections: *connections, length, next: next.clone() }
    }

    /// # Panics
    ///
    /// If the server answers anything but 200, or not at all.
    pub(super) fn turn(&self, server: &Server) -> Turn {
        let (start, cpu_before) = (Instant::now(), server.cpu_time());
        let connections =
            (0..self.connections).map(|_| self.connection(server, start + self.length));
        let latencies = self.runtime.block_on(without_sleep(join_all(connections)));
        let (taken, cpu) = (start.elapsed().as_secs_f64(), server.cpu_time() - cpu_before);
        let latencies = latencies.into_iter().map(|answers| answers.expect("the server answers"));
        let mut latencies: Vec<f64> = latencies.flatten().collect();
        latencies.sort_by(f64::total_cmp);
        let requests = latencies.len() as f64;
        Turn {
            rate: requests / taken,
            p99: quantile(&latencies, 0.99),
            cpu: cpu.as_secs_f64() * 1e6 / requests,
            busy: cpu.as_secs_f64() / taken,
        }
    }

    /// Sends one request after the other until `until`. Returns the latencies in microseconds.
    async fn connection(&self, server: &Server, until: Instant) -> io::Result<Vec<f64>> {
        let mut stream = TcpStream::connect(server.address).await?;
        stream.set_nodelay(true)?;
        let (mut latencies, mut answer) = (Vec::new(), vec![0; 4096]);
        while Instant::now() < until {
            let request = self.request();
            let sent = Instant::now();
            stream.write_all(&request).await?;
            read_answer(&mut stream, &mut answer).await?;
            latencies.push(sent.elapsed().as_secs_f64() * 1e6);
        }
        Ok(latencies)
    }

    fn request(&self) -> Vec<u8> {
        let body = body(USUAL_SIZE, self.next.replace(self.next.get() + 1));
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n\
             X-Bondify-Signature: {}\r\nContent-Length: {}\r\n\r\n",
            signature(&body),
            body.len(),
        );
        [head.as_bytes(), &body].concat()
    }
}

/// Runs `load` without letting the thread sleep. The server would have to wake a sleeping thread: on a
/// virtual core that takes an interrupt, which costs more than a request.
async fn without_sleep<T>(load: impl Future<Output = T>) -> T {
    let spin = async {
        loop {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        loaded = load => loaded,
        never = spin => never,
    }
}

/// Reads one answer, which must have the status 200 and a content length.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer.parse(&buffer[..filled]).map_err(io::Error::other)?;
        let httparse::Status::Complete(head) = parsed else { continue };
        if answer.code != Some(200) {
            return Err(io::Error::other(format!("the answer is {:?}", answer.code)));
        }
        let length =
            answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|header| str::from_utf8(header.value).ok()?.parse().ok());
        let length: usize = length.ok_or_else(|| io::Error::other("no content length"))?;
        if filled >= head + length {
            return Ok(());
        }
    }
}
