//! The proxies of the guide, each with a file that a page shows.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bondify_testkit::skipped;
use reqwest::Client;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::process::own_address;

/// A kind of proxy.
#[derive(Debug)]
pub struct Kind {
    program: &'static str,
    /// The tag of its code blocks on the pages.
    pub tag: &'static str,
    /// The name of its file.
    file: &'static str,
    arguments: &'static [&'static str],
    /// Puts an address and the paths of certificates into the page's file.
    adapt: fn(&str, SocketAddr, &Path) -> String,
}

/// nginx.
pub const NGINX: Kind = Kind {
    program: "nginx",
    tag: "nginx",
    file: "nginx.conf",
    arguments: &["-p", ".", "-e", "stderr", "-c"],
    adapt: |file, address, _| {
        let file = replace(file, "listen 443 ssl", &format!("listen {address} ssl"));
        let file = replace(&file, "/etc/ssl/app.example/fullchain.pem", "certificate.pem");
        let file = replace(&file, "/etc/ssl/app.example/privkey.pem", "key.pem");
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let folders = kinds.map(|kind| format!("{kind}_temp_path {kind};\n")).concat();
        format!(
            "daemon off; master_process off; pid nginx.pid; events {{}}\n\
             http {{ access_log off; {folders}{file} }}\n",
        )
    },
};

/// Caddy.
pub const CADDY: Kind = Kind {
    program: "caddy",
    tag: "caddyfile",
    file: "Caddyfile",
    arguments: &["run", "--adapter", "caddyfile", "--config"],
    // It makes the certificate itself here too, but nobody signs it.
    adapt: |file, address, _| {
        let test = format!(
            "{{\nadmin off\nlocal_certs\nskip_install_trust\nauto_https disable_redirects\n\
             default_bind {}\nhttps_port {}\n",
            address.ip(),
            address.port()
        );
        let rest = file.strip_prefix("{\n").expect("it begins with the global options");
        test + rest
    },
};

/// HAProxy.
pub const HAPROXY: Kind = Kind {
    program: "haproxy",
    tag: "haproxy",
    file: "haproxy.cfg",
    arguments: &["-db", "-f"],
    adapt: |file, address, folder| {
        let both = folder.join("both.pem");
        let file = replace(file, "bind :443", &format!("bind {address}"));
        replace(&file, "/etc/haproxy/app.example.pem", &both.display().to_string())
    },
};

/// Replaces what a file has exactly once.
///
/// # Panics
///
/// If it has it not once.
#[must_use]
pub fn replace(file: &str, from: &str, to: &str) -> String {
    assert_eq!(file.matches(from).count(), 1, "{from} in {file}");
    file.replace(from, to)
}

/// The first code block of a page with that tag.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn block<'a>(page: &'a str, tag: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("```{tag}\n")).expect("the page has the file");
    rest.split_once("```").expect("the block ends").0
}

/// A running proxy. It ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    process: Child,
    /// A client that finds the proxy at `url`.
    pub client: Client,
    /// The origin, `https://app.example:…`.
    pub url: String,
    folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Proxy {
    /// Starts a proxy with that file. `None` if it is not installed, which is [`skipped`].
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(kind: &Kind, file: &str) -> Option<Self> {
        let (folder, address) =
            (tempfile::tempdir().expect("there is room for a folder"), own_address());
        certify(folder.path());
        let process = spawn(kind, &(kind.adapt)(file, address, folder.path()), folder.path())?;
        let client = Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
        let client = client.resolve("app.example", address).build().expect("valid settings");
        let url = format!("https://app.example:{}", address.port());
        let mut this = Self { process, client, url, folder };
        // Caddy listens before it has its certificate.
        while this.client.get(&this.url).send().await.is_err() {
            if this.process.try_wait().expect("it is ours").is_some() {
                panic!("{} does not start: {}", kind.program, this.log());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Some(this)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

fn certify(folder: &Path) {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=app.example"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "{output:?}");
    let read = |name| fs::read_to_string(folder.join(name)).expect("it was written");
    fs::write(folder.join("both.pem"), read("certificate.pem") + &read("key.pem"))
        .expect("there is room for it");
}

fn spawn(kind: &Kind, file: &str, folder: &Path) -> Option<Child> {
    let path = folder.join(kind.file);
    fs::write(&path, file).expect("there is room for it");
    let log = fs::File::create(folder.join("log")).expect("there is room for it");
    // Debian has nginx and HAProxy where only root's `PATH` leads.
    let debian = Path::new("/usr/sbin").join(kind.program);
    let mut command = Command::new(if debian.exists() { &*debian } else { kind.program.as_ref() });
    command.args(kind.arguments).arg(&path).current_dir(folder);
    command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("it is open")).stderr(log);
    match command.spawn() {
        Ok(process) => Some(process),
        Err(_) => {
            skipped(kind.program, "is not installed");
            None
        }
    }
}
