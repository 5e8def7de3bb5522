use std::net::IpAddr;

use bondify_emulator::local::Listener;
use clap::Args;

/// The option for the address to listen on.
#[derive(Args)]
pub(crate) struct HostArgs {
    /// The address to listen on, e.g. 0.0.0.0 [default: 127.0.0.1 and ::1]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<IpAddr>,
}

impl HostArgs {
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host
    }

    /// Whether other machines can connect.
    pub(crate) fn is_open(&self) -> bool {
        self.host.is_some_and(|ip| !ip.to_canonical().is_loopback())
    }

    pub(crate) async fn listen(&self, port: u16) -> anyhow::Result<Listener> {
        Ok(Listener::bind(self.host, port).await?)
    }
}
