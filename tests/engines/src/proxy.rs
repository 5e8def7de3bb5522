use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
};

/// A proxy on loopback in front of an engine. Dropping it ends the proxy and its connections.
///
/// Open connections and new connections are controlled separately, because networks fail that way: a
/// NAT drops its record of open connections and forwards new ones; a failover leads new connections to another
/// server and keeps the open ones. See the [module](super) for an example.
pub struct Proxy {
    address: SocketAddr,
    upstream: Arc<Mutex<Upstream>>,
    /// The last order to the open connections.
    open: watch::Sender<Open>,
    _tasks: JoinSet<()>,
}

/// The address that a [`Proxy`] connects to.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is no third kind of stream socket")]
pub enum Upstream {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// The last order to the connections that were open at that time. `orders` makes each order a change.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    orders: usize,
    cut: bool,
}

impl Proxy {
    /// Starts a proxy that listens on a free port of 127.0.0.1 and connects to `upstream`.
    ///
    /// # Errors
    ///
    /// The error of the socket, if it cannot listen.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn start(upstream: Upstream) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let upstream = Arc::new(Mutex::new(upstream));
        let open = watch::Sender::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream.clone(), open.clone()));
        Ok(Self { address, upstream, open, _tasks: tasks })
    }

    /// Returns the address to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes the open connections silent: the proxy stops forwarding on them in both directions, and does
    /// not close them before they are [`cut`](Self::cut). New connections work.
    pub fn go_deaf(&self) {
        self.order(false);
    }

    /// Closes the open connections, also the silent ones. New connections work.
    pub fn cut(&self) {
        self.order(true);
    }

    /// Leads new connections to `upstream`. Open connections stay with the old upstream.
    pub fn redirect(&self, upstream: Upstream) {
        *self.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    fn order(&self, cut: bool) {
        self.open.send_modify(|open| *open = Open { orders: open.orders + 1, cut });
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, upstream: Arc<Mutex<Upstream>>, open: watch::Sender<Open>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let upstream = upstream.lock().unwrap_or_else(PoisonError::into_inner).clone();
        connections.spawn(forward(client, upstream, open.subscribe()));
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(mut client: TcpStream, upstream: Upstream, mut open: watch::Receiver<Open>) {
    let _slower = client.set_nodelay(true);
    let Ok(mut server) = upstream.connect().await else { return };
    let mut order = tokio::select! {
        _closed = copy_bidirectional(&mut client, &mut server) => return,
        order = open.changed() => order,
    };
    // A silent connection keeps both sockets open, until it is cut or the proxy ends.
    while order.is_ok() && !open.borrow_and_update().cut {
        order = open.changed().await;
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Upstream {
    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    use super::*;

    /// Answers every byte with `reply`.
    async fn engine(reply: u8) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while stream.read_u8().await.is_ok() {
                        stream.write_u8(reply).await.unwrap();
                    }
                });
            }
        });
        Upstream::Tcp(address)
    }

    async fn ask(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_u8(0).await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn orders_reach_the_open_connections_only() {
        let proxy = Proxy::start(engine(1).await).await.unwrap();
        let connect = || TcpStream::connect(proxy.address());
        let mut first = connect().await.unwrap();
        assert_eq!(ask(&mut first).await.unwrap(), 1);

        proxy.redirect(engine(2).await);
        assert_eq!(ask(&mut first).await.unwrap(), 1);
        let mut second = connect().await.unwrap();
        assert_eq!(ask(&mut second).await.unwrap(), 2);

        proxy.go_deaf();
        for deaf in [&mut first, &mut second] {
            timeout(Duration::from_millis(100), ask(deaf)).await.unwrap_err();
        }
        let mut third = connect().await.unwrap();
        assert_eq!(ask(&mut third).await.unwrap(), 2);

        proxy.cut();
        ask(&mut third).await.unwrap_err();
        first.read_u8().await.unwrap_err();
        assert_eq!(ask(&mut connect().await.unwrap()).await.unwrap(), 2);
    }
}
