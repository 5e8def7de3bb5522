//! Engines that demand TLS.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command};

use tempfile::TempDir;

use super::{
    Engine, mariadb,
    owner::{become_user, folder_of},
    postgres,
    redis_pair::{host_and_port, own_address},
    server::{absent, new_folder},
};

/// Methods for engines that demand TLS.
///
/// Such an engine listens on a TCP address and refuses clients there that do not encrypt. Its certificate is for
/// that address, and [signed](Self::authority) by an authority of its own.
impl Engine {
    /// Starts a Redis that demands TLS. Returns `None` and reports the tests as
    /// [`skipped`](bondify_testkit::skipped) if `redis-server` or `openssl` is not installed.
    ///
    /// # Panics
    ///
    /// If it does not start, and if a program is not installed and `CI` is set.
    #[must_use]
    pub fn redis_with_tls() -> Option<Self> {
        let (folder, address) = (new_folder(), own_address());
        certify(&folder, None, address)?;
        let [host, port] = host_and_port(address);
        let files = [["cert", SERVER], ["key", SERVER_KEY], ["ca-cert", AUTHORITY]];
        let files = files.map(|[kind, file]| [format!("--tls-{kind}-file"), file.to_owned()]);
        let listen = ["--bind", &host, "--tls-port", &port, "--tls-auth-clients", "no"];
        let options = listen.into_iter().chain(files.iter().flatten().map(String::as_str));
        let mut engine = Self::start_redis(folder, options)?;
        engine.url = format!("rediss://{address}");
        Some(engine)
    }

    /// Starts a PostgreSQL with the superuser `postgres`, to whom it demands TLS. Returns `None` and reports the
    /// tests as [`skipped`](bondify_testkit::skipped) if PostgreSQL or `openssl` is not installed.
    ///
    /// # Panics
    ///
    /// As for [`redis_with_tls`](Self::redis_with_tls).
    #[must_use]
    pub fn postgres_with_tls() -> Option<Self> {
        let folder = folder_of(postgres::USER);
        let address = SocketAddr::new(own_address().ip(), postgres::PORT);
        certify(&folder, Some(postgres::USER), address)?;
        let rules = folder.path().join("hba.conf");
        fs::write(&rules, "hostssl all all all trust\n").expect("the file can be written");
        let file = |name| folder.path().join(name).display().to_string();
        let settings = [
            format!("listen_addresses={}", address.ip()),
            format!("hba_file={}", rules.display()),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", file(SERVER)),
            format!("ssl_key_file={}", file(SERVER_KEY)),
        ];
        let options = settings.iter().flat_map(|setting| ["-c", setting]);
        let mut engine = Self::postgres_in(folder, options)?;
        engine.url = format!("postgres://postgres@{address}/postgres");
        Some(engine)
    }

    /// Starts a MariaDB with the superuser `root` and the database `test`, which demands TLS. Returns `None` and
    /// reports the tests as [`skipped`](bondify_testkit::skipped) if MariaDB or `openssl` is not installed.
    ///
    /// # Panics
    ///
    /// As for [`redis_with_tls`](Self::redis_with_tls).
    #[must_use]
    pub fn mariadb_with_tls() -> Option<Self> {
        let (folder, address) = (folder_of(mariadb::USER), own_address());
        certify(&folder, Some(mariadb::USER), address)?;
        let [host, port] = host_and_port(address);
        let file = |name| folder.path().join(name).display().to_string();
        let options = [
            "--skip-networking=OFF".to_owned(),
            format!("--bind-address={host}"),
            format!("--port={port}"),
            "--require-secure-transport=ON".to_owned(),
            format!("--ssl-cert={}", file(SERVER)),
            format!("--ssl-key={}", file(SERVER_KEY)),
        ];
        let mut engine = Self::mariadb_in(folder, options.iter().map(String::as_str))?;
        engine.url = format!("mysql://root@{address}/test");
        Some(engine)
    }

    /// The file with the certificate of the authority that signed the server's.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join(AUTHORITY)
    }

    /// The file with the certificate of another authority.
    #[must_use]
    pub fn other_authority(&self) -> PathBuf {
        self.folder.path().join(OTHER_AUTHORITY)
    }

    /// The address of an engine that demands TLS.
    ///
    /// # Panics
    ///
    /// If it listens on no TCP address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let authority = self.url.split('/').nth(2).unwrap_or_default();
        let address = authority.rsplit('@').next().unwrap_or_default();
        address.parse().expect("it listens on an address")
    }
}

const AUTHORITY: &str = "authority.pem";
const OTHER_AUTHORITY: &str = "other.pem";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server.key";

/// Writes the certificates of two authorities to the folder, and one of them for a server at this address,
/// signed by the first, with a key that `user` can read.
fn certify(folder: &TempDir, user: Option<&str>, address: SocketAddr) -> Option<()> {
    let certify = |subject, key, certificate, more: &[&str]| {
        let mut openssl = Command::new("openssl");
        if let Some(user) = user {
            become_user(user, &mut openssl);
        }
        openssl.current_dir(folder).args(["req", "-x509", "-newkey", "ec", "-nodes"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", subject]);
        openssl.args(["-keyout", key, "-out", certificate]).args(more);
        match openssl.output() {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => return absent("openssl", &error),
        }
        Some(())
    };
    let name = format!("subjectAltName=IP:{}", address.ip());
    let signed = ["-CA", AUTHORITY, "-CAkey", "authority.key"];
    let server = ["-addext", "basicConstraints=CA:FALSE", "-addext", &name];
    certify("/CN=authority", "authority.key", AUTHORITY, &[])?;
    certify("/CN=other", "other.key", OTHER_AUTHORITY, &[])?;
    certify("/CN=server", SERVER_KEY, SERVER, &[signed, server].concat())
}
