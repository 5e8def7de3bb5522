#[cfg(feature = "https")]
use reqwest::Certificate;
use reqwest::{Client, ClientBuilder};
use url::Url;

#[cfg(feature = "https")]
use crate::local::is_host;

/// The certificates of `https` webhook URLs that are accepted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    /// Certificates in PEM.
    #[cfg(feature = "https")]
    pub(crate) authorities: Vec<Vec<u8>>,
    /// The hosts whose certificates are not verified.
    #[cfg(feature = "https")]
    pub(crate) unverified_hosts: Vec<String>,
}

/// A client that verifies certificates, and one for the hosts whose certificates are not
/// verified.
pub(crate) struct Clients {
    verifying: Client,
    #[cfg(feature = "https")]
    unverifying: Client,
    #[cfg(feature = "https")]
    unverified_hosts: Vec<String>,
}

impl Clients {
    #[cfg(feature = "https")]
    pub(crate) fn new(trust: Trust, builder: impl Fn() -> ClientBuilder) -> reqwest::Result<Self> {
        let mut authorities = Vec::new();
        for pem in &trust.authorities {
            authorities.extend(Certificate::from_pem_bundle(pem)?);
        }
        Ok(Self {
            verifying: builder().tls_certs_merge(authorities).build()?,
            unverifying: builder().tls_danger_accept_invalid_certs(true).build()?,
            unverified_hosts: trust.unverified_hosts,
        })
    }

    #[cfg(not(feature = "https"))]
    pub(crate) fn new(_: Trust, builder: impl Fn() -> ClientBuilder) -> reqwest::Result<Self> {
        Ok(Self { verifying: builder().build()? })
    }

    /// The client for this URL.
    #[cfg(feature = "https")]
    pub(crate) fn of(&self, url: &Url) -> &Client {
        let is_unverified = self.unverified_hosts.iter().any(|host| is_host(url, host));
        if is_unverified { &self.unverifying } else { &self.verifying }
    }

    /// The client for this URL.
    #[cfg(not(feature = "https"))]
    pub(crate) fn of(&self, _: &Url) -> &Client {
        &self.verifying
    }
}
