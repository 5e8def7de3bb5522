use std::{
    fs,
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    Proxy, Upstream,
    server::{absent, log_of, new_folder, open_log},
};

/// A running nginx in a temporary folder, in front of an HTTP server. Dropping it ends nginx.
///
/// Its settings are nginx's defaults, except that a body may have 64 MiB.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
    folder: TempDir,
    /// Listens on a free port, because nginx cannot.
    proxy: Proxy,
}

impl Nginx {
    /// Starts an nginx that forwards requests to `server`. Returns `None` and reports the tests as
    /// [`skipped`](bondify_testkit::skipped) if nginx is not installed.
    ///
    /// # Panics
    ///
    /// If it does not start, and if it is not installed and `CI` is set.
    pub async fn in_front_of(server: SocketAddr) -> Option<Self> {
        let folder = new_folder();
        let file = folder.path().join("nginx.conf");
        fs::write(&file, settings(folder.path(), server)).expect("the file can be written");

        // On Debian it is in a folder that is only in root's `PATH`.
        let debian = Path::new("/usr/sbin/nginx");
        let program = if debian.exists() { debian } else { Path::new("nginx") };
        let log = open_log(&folder);
        let mut nginx = Command::new(program);
        nginx.arg("-p").arg(folder.path()).arg("-c").arg(&file).args(["-e", "stderr"]);
        nginx
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file is open"))
            .stderr(log);
        let process = match nginx.spawn() {
            Ok(process) => process,
            Err(error) => return absent("nginx", &error),
        };
        let proxy = Proxy::start(Upstream::Unix(socket(folder.path()))).await;
        let mut this = Self { process, folder, proxy: proxy.expect("there is a free port") };
        this.until_ready();
        Some(this)
    }

    /// The address to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    fn until_ready(&mut self) {
        let start = Instant::now();
        while UnixStream::connect(socket(self.folder.path())).is_err() {
            let ended = self.process.try_wait().expect("the process is our child");
            if ended.is_some() || start.elapsed() > Duration::from_secs(60) {
                panic!("nginx does not start: {}", log_of(&self.folder));
            }
            sleep(Duration::from_millis(10));
        }
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("nginx.sock")
}

fn settings(folder: &Path, server: SocketAddr) -> String {
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders = kinds.map(|kind| format!("{kind}_temp_path {kind};\n")).concat();
    let socket = socket(folder);
    let socket = socket.display();
    format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\nhttp {{\n\
         access_log off;\n{folders}client_max_body_size 64m;\n\
         server {{ listen unix:{socket}; location / {{ proxy_pass http://{server}; }} }}\n}}\n",
    )
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
