//! The rules for this machine's addresses, which the emulator and the `bondify` command share.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use axum::serve;
use tokio::{
    net::{TcpListener, TcpStream},
    select,
};
use url::Url;

/// Whether the URL's host is this machine in every network: `localhost`, a name that ends in
/// `.localhost`, a loopback address, or the unspecified address (`0.0.0.0`, `::`).
///
/// ```
/// use bondify_emulator::{Url, local::is_this_machine};
///
/// let is_local = |url| Url::parse(url).is_ok_and(|url| is_this_machine(&url));
/// assert!(is_local("http://app.localhost:3000/") && is_local("http://[::ffff:127.0.0.1]/"));
/// assert!(!is_local("http://192.168.0.7/") && !is_local("http://localhost.example/"));
/// ```
#[must_use]
pub fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(is_local)
}

/// Whether the URL's host is `name`. All names of this machine are equal.
#[must_use]
pub fn is_host(url: &Url, name: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    is_local(host) && is_local(name) || plain(host) == plain(name)
}

/// Whether `host`, a name or an address, is this machine in every network.
pub(crate) fn is_local(host: &str) -> bool {
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        let ip = ip.to_canonical();
        return ip.is_loopback() || ip.is_unspecified();
    }
    let name = plain(host);
    name == "localhost" || name.ends_with(".localhost")
}

/// The name in lower case and without the dot of the root.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// A listener on a port of one address, or of both loopback addresses.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    first: TcpListener,
    second: Option<TcpListener>,
}

/// An error: the address is in use, or does not belong to this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
#[non_exhaustive]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// The error of the operating system.
    #[source]
    pub error: io::Error,
}

impl Listener {
    /// Listens on `ip`, or on `127.0.0.1` and `[::1]`, because `localhost` may be either. Port 0
    /// is any port that is free on both. A machine without IPv6 listens on `127.0.0.1` only.
    ///
    /// # Errors
    ///
    /// [`ListenError`] if the address is in use, or does not belong to this machine.
    pub async fn bind(ip: Option<IpAddr>, port: u16) -> Result<Self, ListenError> {
        const TRIES: u8 = 16;
        if let Some(ip) = ip {
            let (first, address) = bind(ip, port).await?;
            return Ok(Self { address, first, second: None });
        }
        let mut tries = 1;
        loop {
            let (first, address) = bind(Ipv4Addr::LOCALHOST.into(), port).await?;
            match bind(Ipv6Addr::LOCALHOST.into(), address.port()).await {
                Ok((second, _)) => return Ok(Self { address, first, second: Some(second) }),
                Err(taken) if taken.error.kind() == io::ErrorKind::AddrInUse => {
                    if port != 0 || tries == TRIES {
                        return Err(taken);
                    }
                    tries += 1;
                }
                Err(_) => return Ok(Self { address, first, second: None }),
            }
        }
    }

    /// The address, the first one of two.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn bind(ip: IpAddr, port: u16) -> Result<(TcpListener, SocketAddr), ListenError> {
    let address = SocketAddr::new(ip, port);
    let failed = |error| ListenError { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Accepts connections to either address.
impl serve::Listener for Listener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let first = serve::Listener::accept(&mut self.first);
        match &mut self.second {
            None => first.await,
            Some(second) => select! {
                accepted = first => accepted,
                accepted = serve::Listener::accept(second) => accepted,
            },
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_of_this_machine_is_known() {
        for host in [
            "localhost",
            "LocalHost.",
            "app.localhost",
            "a.b.localhost.",
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
        ] {
            let url = Url::parse(&format!("http://{host}:3000/")).unwrap();
            assert!(is_local(host) && is_this_machine(&url), "{host}");
        }
        for host in ["localhost.example", "notlocalhost", "192.0.2.1", "[2001:db8::1]", "[::2]"] {
            let url = Url::parse(&format!("http://{host}:3000/")).unwrap();
            assert!(!is_local(host) && !is_this_machine(&url), "{host}");
        }
    }

    #[test]
    fn a_name_of_this_machine_stands_for_the_others() {
        let is_host = |url, name| is_host(&Url::parse(url).unwrap(), name);
        assert!(is_host("https://[::1]:3000/", "localhost"));
        assert!(is_host("https://Dev.Test./", "dev.test"));
        assert!(!is_host("https://dev.test/", "localhost"));
        assert!(!is_host("https://a.dev.test/", "dev.test"));
    }

    #[tokio::test]
    async fn both_loopback_addresses_are_listened_on() {
        let mut listener = Listener::bind(None, 0).await.unwrap();
        let port = listener.address().port();
        let ips: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let count = 1 + usize::from(listener.second.is_some());
        for ip in &ips[..count] {
            let (connected, (_, from)) = tokio::join!(
                TcpStream::connect((*ip, port)),
                serve::Listener::accept(&mut listener)
            );
            assert_eq!(connected.unwrap().local_addr().unwrap(), from);
        }
        let taken = Listener::bind(None, port).await.unwrap_err();
        assert_eq!(taken.address, SocketAddr::new(ips[0], port));
        if count == 2 {
            drop(listener.first);
            let taken = Listener::bind(None, port).await.unwrap_err();
            assert_eq!(taken.address, SocketAddr::new(ips[1], port));
        }
    }
}
