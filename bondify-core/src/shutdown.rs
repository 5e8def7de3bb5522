use std::{io, pin::pin, time::Duration};

use futures_util::future::select;
#[cfg(unix)]
use tokio::signal::unix::{self, SignalKind};
#[cfg(windows)]
use tokio::signal::windows;
use tokio::sync::watch;

/// The request to end the process: the signal SIGTERM, which `docker stop` and Kubernetes send, or
/// SIGINT, which Ctrl-C sends. On Windows: Ctrl-C, and the end of the system.
///
/// A server begins its graceful shutdown when it is [`requested`](Self::requested), and is dropped at the
/// [`deadline`](Self::deadline): an open event stream or half a request would keep the graceful shutdown
/// waiting for ever. Then call [`Bondify::drain`](crate::Bondify::drain), which waits for handlers.
///
/// ```no_run
/// use std::{error::Error, io, time::Duration};
///
/// use bondify_core::{Bondify, Shutdown};
///
/// async fn serve(stop: impl Future) -> io::Result<()> {
///     stop.await; // the framework's server, with its graceful shutdown
///     Ok(())
/// }
///
/// async fn run(bondify: Bondify) -> Result<(), Box<dyn Error>> {
///     let shutdown = Shutdown::on_signal()?;
///     tokio::select! {
///         served = serve(shutdown.requested()) => served?,
///         () = shutdown.deadline(Duration::from_secs(5)) => {}
///     }
///     Ok(bondify.drain(Duration::from_secs(5)).await?)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Listens for the signals from now on. They no longer end the process by themselves. It also works as
    /// process 1 of a container, which ignores SIGTERM unless it listens for it.
    ///
    /// Call it before the server accepts connections, so that no signal is missed.
    ///
    /// ```no_run
    /// use bondify_core::Shutdown;
    ///
    /// #[tokio::main]
    /// async fn main() -> std::io::Result<()> {
    ///     let shutdown = Shutdown::on_signal()?;
    ///     // Start the server.
    ///     shutdown.requested().await;
    ///     println!("shutting down");
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The operating system's error if the process may not listen for signals.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime with its IO driver enabled (`enable_all`).
    pub fn on_signal() -> io::Result<Self> {
        let signal = signal()?;
        let (requested, receiver) = watch::channel(false);
        tokio::spawn(async move {
            signal.await;
            requested.send_replace(true);
        });
        Ok(Self(receiver))
    }

    /// Waits for the first signal. For a server's graceful shutdown.
    pub fn requested(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut requested = self.0.clone();
        async move {
            // An error is the end of the runtime, which is a shutdown too.
            let _requested = requested.wait_for(|&requested| requested).await;
        }
    }

    /// Waits for the first signal, and then for `grace`. Drop the server after that: it may still wait for
    /// connections.
    pub fn deadline(&self, grace: Duration) -> impl Future<Output = ()> + Send + use<> {
        let requested = self.requested();
        async move {
            requested.await;
            tokio::time::sleep(grace).await;
        }
    }
}

fn signal() -> io::Result<impl Future<Output = ()> + Send> {
    #[cfg(unix)]
    let (mut interrupt, mut terminate) =
        (unix::signal(SignalKind::interrupt())?, unix::signal(SignalKind::terminate())?);
    #[cfg(windows)]
    let (mut interrupt, mut terminate) = (windows::ctrl_c()?, windows::ctrl_shutdown()?);
    Ok(async move {
        select(pin!(interrupt.recv()), pin!(terminate.recv())).await;
    })
}
