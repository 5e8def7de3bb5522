use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use bondify_emulator::local;
use clap::Args;
use reqwest::{Certificate, ClientBuilder, Url};

use crate::file;

/// The options for the certificates of `https` endpoints.
#[derive(Args)]
#[command(next_help_heading = "Certificates of https:// endpoints")]
pub(crate) struct TlsArgs {
    /// File with CA certificates (PEM) to trust in addition
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// Accept any certificate of this machine or, with `--insecure=HOST`, of HOST
    #[arg(long, value_name = "HOST", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "localhost")]
    insecure: Vec<String>,
}

impl TlsArgs {
    /// The hosts whose certificates are not verified.
    pub(crate) fn insecure_hosts(&self) -> &[String] {
        &self.insecure
    }

    /// The CA certificates, in PEM.
    pub(crate) fn ca_pem(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let pem = file::read(path)?;
        let shown = path.display();
        let found = Certificate::from_pem_bundle(&pem)
            .with_context(|| format!("{shown} has no valid PEM certificates"))?;
        ensure!(!found.is_empty(), "{shown} has no certificate: it must be PEM");
        Ok(Some(pem))
    }

    /// Sets up a client of that endpoint.
    pub(crate) fn apply(&self, client: ClientBuilder, url: &Url) -> anyhow::Result<ClientBuilder> {
        let pem = self.ca_pem()?.unwrap_or_default();
        let client = client.tls_certs_merge(Certificate::from_pem_bundle(&pem)?);
        let is_insecure = self.insecure.iter().any(|host| local::is_host(url, host));
        Ok(client.tls_danger_accept_invalid_certs(is_insecure))
    }
}
