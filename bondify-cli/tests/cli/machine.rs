//! The machine that the command runs on: its addresses, proxies, certificates and files.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use axum::http::StatusCode;
use bondify_testkit::{skipped, within_a_minute};
use serde_json::{Value, json};
use tempfile::tempdir;
use test_engines::{Proxy, Upstream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    process::{Child, Command},
    time::sleep,
};

use crate::support::{Finished, Receiver, Recorder, Running, SECRET, bondify, run};

/// Starts `emulate --json` and returns its first line of output.
async fn emulate(args: &[&str]) -> (Running, Value) {
    let mut emulator = Running::start(&[&["emulate", "--port=0", "--json"], args].concat());
    let ready = emulator.json().await["ready"].take();
    (emulator, ready)
}

fn port(url: &Value) -> u16 {
    url.as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap()
}

/// The status of the answer to a request to the host `host`.
async fn health(to: (impl Into<std::net::IpAddr>, u16), host: &str) -> Option<String> {
    let mut connection = TcpStream::connect((to.0.into(), to.1)).await.ok()?;
    let request = format!("GET /emulator/health HTTP/1.0\r\nhost: {host}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    Some(answer.split(' ').nth(1).unwrap().to_owned())
}

#[tokio::test]
async fn both_loopback_addresses_are_served_and_names_can_be_allowed() {
    within_a_minute(async {
        let (_emulator, ready) = emulate(&["--allowed-host", "bondify.test"]).await;
        assert_eq!(ready["open"], false);
        let port = port(&ready["api_url"]);
        for host in ["localhost", "localhost.", "app.localhost", "host.docker.internal"] {
            assert_eq!(health((Ipv4Addr::LOCALHOST, port), host).await.unwrap(), "200", "{host}");
        }
        let allowed = health((Ipv4Addr::LOCALHOST, port), "bondify.test:80").await;
        assert_eq!(allowed.unwrap(), "200");
        let refused = health((Ipv4Addr::LOCALHOST, port), "evil.test").await;
        assert_eq!(refused.unwrap(), "403");
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok() {
            assert_eq!(health((Ipv6Addr::LOCALHOST, port), "[::1]").await.unwrap(), "200");
        }
    })
    .await;
}

#[tokio::test]
async fn a_port_that_is_open_to_other_machines_says_so() {
    within_a_minute(async {
        let (_emulator, ready) = emulate(&["--host", "0.0.0.0"]).await;
        assert_eq!(ready["open"], true);
        let mut emulator = Running::start(&["emulate", "--port=0", "--host=0.0.0.0"]);
        for _url_inspector_token in 0..3 {
            emulator.line().await;
        }
        assert!(emulator.line().await.starts_with("open to other machines: "));
        let mut listener = Running::start(&["listen", "--port=0", "--host=0.0.0.0"]);
        assert!(listener.line().await.ends_with(", open to other machines"));
        let mut listener = Running::start(&["listen", "--port=0", "--host=::1", "--json"]);
        if let Ok(Some(line)) = listener.try_line().await {
            assert!(line.contains("\"open\":false"), "{line}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_blocked_webhook_url_is_reported_at_the_start() {
    within_a_minute(async {
        let url = "https://192.0.2.1/hook";
        let (_emulator, ready) = emulate(&["--webhook-url", url]).await;
        assert_eq!(ready["blocked"], true);
        let allowed = ["--webhook-url", url, "--allow-remote-delivery"];
        assert_eq!(emulate(&allowed).await.1["blocked"], false);
        let plain = ["--webhook-url", "http://app:3000/", "--allow-remote-delivery"];
        assert_eq!(emulate(&plain).await.1["webhook_url"], "http://app:3000/");
    })
    .await;
}

#[tokio::test]
async fn faults_are_injected_from_the_start() {
    within_a_minute(async {
        let args = ["--fault", "tampered-body", "--fault=delay=7"];
        let (_emulator, ready) = emulate(&args).await;
        let url = format!("{}/emulator/projects", ready["api_url"].as_str().unwrap());
        let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(url);
        let answer = answer.send().await.unwrap().bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["projects"][0]["faults"], json!(["delay=7", "tampered-body"]));
        let refused = run(&["emulate", "--fault", "nonsense"]).await;
        assert!(refused.stderr.contains("delay=MILLISECONDS"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn nothing_for_this_machine_goes_through_a_proxy() {
    within_a_minute(async {
        let (recorder, url) = Recorder::start(|| StatusCode::OK).await;
        let port: u16 = url.split([':', '/']).nth(4).unwrap().parse().unwrap();
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
        let names =
            ["0.0.0.0", "localhost", "localhost.", "app.localhost", "[::ffff:127.0.0.1]", "127.1"];
        let all = async {
            for name in names {
                let url = format!("http://{name}:{port}/webhooks/bondify");
                let mut command = bondify(&["trigger", "auth.cancelled", "--url", &url]);
                for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
                    command.env(variable, &proxy_url);
                }
                let finished = Finished::of(command).await;
                assert_eq!(finished.code, Some(0), "{name}: {finished}");
                let mut command = bondify(&["projects", "list", "--token=dev_x", "--api-url"]);
                command.arg(format!("http://{name}:{port}")).env("HTTP_PROXY", &proxy_url);
                Finished::of(command).await;
            }
        };
        tokio::select! {
            () = all => {}
            _ = proxy.accept() => panic!("the proxy was asked"),
        }
        assert_eq!(recorder.requests().len(), names.len());
    })
    .await;
}

/// nginx with a certificate that it signed itself, in a single process.
struct Nginx {
    url: String,
    _child: Child,
    /// Listens on a free port, because nginx cannot.
    _proxy: Proxy,
}

impl Nginx {
    /// Returns `None` if nginx or openssl is not installed.
    async fn start(folder: &Path) -> Option<Self> {
        let certificate = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(folder)
            .output();
        if !certificate.await.is_ok_and(|output| output.status.success()) {
            skipped("openssl", "is not installed");
            return None;
        }
        let shown = folder.display();
        let config = format!(
            "daemon off; master_process off; pid {shown}/pid; error_log {shown}/log; events {{}}\n\
             http {{ access_log off; client_body_temp_path {shown}/body;\n\
             server {{ listen unix:{shown}/socket ssl; ssl_certificate {shown}/cert.pem;\n\
             ssl_certificate_key {shown}/key.pem; location / {{ return 204; }} }} }}"
        );
        let path = folder.join("nginx.conf");
        fs::write(&path, config).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(&path).arg("-e").arg(folder.join("log")).kill_on_drop(true);
        nginx.stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(mut child) = nginx.spawn() else {
            skipped("nginx", "is not installed");
            return None;
        };
        let socket = folder.join("socket");
        while UnixStream::connect(&socket).await.is_err() {
            assert_eq!(child.try_wait().unwrap(), None, "nginx has ended");
            sleep(Duration::from_millis(10)).await;
        }
        let proxy = Proxy::start(Upstream::Unix(socket)).await.unwrap();
        let url = format!("https://localhost:{}/hook", proxy.address().port());
        Some(Self { url, _child: child, _proxy: proxy })
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_accepted_on_request() {
    within_a_minute(async {
        let folder = tempdir().unwrap();
        let Some(nginx) = Nginx::start(folder.path()).await else { return };
        let ca = folder.path().join("cert.pem");
        let ca = ["--ca-file", ca.to_str().unwrap()];
        for (tls, accepted) in [
            (&[][..], false),
            (&["--insecure"], true),
            (&["--insecure=127.0.0.1"], true),
            (&["--insecure=other.test"], false),
            (&ca, true),
        ] {
            let args = [&["trigger", "auth.cancelled", "--url", &nginx.url], tls].concat();
            let triggered = run(&args).await;
            assert_eq!(triggered.code, Some(i32::from(!accepted)), "{tls:?}: {triggered}");
            assert!(accepted || triggered.stdout.contains("see --ca-file"), "{triggered}");

            let args = [&["--webhook-url", &nginx.url, "--retries=0"], tls].concat();
            let (mut emulator, ready) = emulate(&args).await;
            let url = ready["api_url"].as_str().unwrap();
            let test = format!("{url}/emulator/projects/proj_local/test");
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            client.post(test).body("{}").send().await.unwrap();
            let attempt = emulator.json().await;
            assert_eq!(attempt["state"] == "delivered", accepted, "{tls:?}: {attempt}");
        }
        let no_certificate = folder.path().join("key.pem");
        let args = ["--url", &nginx.url, "--ca-file", no_certificate.to_str().unwrap()];
        let refused = run(&[&["trigger", "auth.cancelled"], &args[..]].concat()).await;
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains("must be PEM"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn the_doctor_names_a_url_with_or_without_tls_by_mistake() {
    within_a_minute(async {
        let folder = tempdir().unwrap();
        let Some(nginx) = Nginx::start(folder.path()).await else { return };
        let receiver = Receiver::start().await;
        for (url, advice) in [
            (nginx.url.replace("https", "http"), "begin the URL with https://"),
            (receiver.url.replace("http", "https"), "does not speak TLS; try http://"),
            (nginx.url.clone(), "the issuer of its certificate is not trusted; see --ca-file"),
        ] {
            let finished = run(&["doctor", "--url", &url]).await;
            assert_eq!(finished.code, Some(1), "{finished}");
            assert!(finished.stdout.starts_with("problem  reachable"), "{finished}");
            assert!(finished.stdout.contains(advice), "{finished}");
        }
    })
    .await;
}

/// Generates a session through the public API of an emulator, and returns the status.
async fn generate(ready: &Value) -> u16 {
    let url = format!("{}/api/v1/generate/public", ready["api_url"].as_str().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(url).body(r#"{"project_id":"proj_local"}"#);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_full_disk_is_reported_and_answered_with_507() {
    within_a_minute(async {
        let folder = tempdir().unwrap();
        let state = folder.path().join("state");
        // The shell's limit on the size of a file simulates a full disk: 16 KiB.
        let script = format!(
            "trap '' XFSZ; ulimit -f 32; exec {} emulate --json --port 0 --state {}",
            env!("CARGO_BIN_EXE_bondify"),
            state.display()
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env_clear().env("BONDIFY_WEBHOOK_SECRET", SECRET);
        shell.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut emulator = Running::of(shell);
        let ready = emulator.json().await["ready"].take();
        let mut stored = 0;
        while generate(&ready).await == 200 {
            stored += 1;
            assert!(stored < 1000, "the disk is full some day");
        }
        assert!(stored > 10);
        let said = emulator.json().await;
        assert!(said["state_file"].is_string(), "{said}");
        assert_eq!(generate(&ready).await, 507);
        emulator.signal("INT").await;
        emulator.end().await;

        let (_emulator, ready) = emulate(&["--state", state.to_str().unwrap()]).await;
        let url = format!("{}/emulator/sessions", ready["api_url"].as_str().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(url).send().await.unwrap().bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["sessions"].as_array().unwrap().len(), stored, "all that were answered");
    })
    .await;
}

#[tokio::test]
async fn a_device_as_the_state_file_is_refused_and_stays() {
    within_a_minute(async {
        let refused = run(&["emulate", "--port=0", "--state=/dev/null"]).await;
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains("not a regular file"), "{refused}");
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    })
    .await;
}

#[tokio::test]
async fn a_state_file_that_is_mounted_alone_is_written_in_place() {
    within_a_minute(async {
        let folder = tempdir().unwrap();
        let [real, mounted] = ["real", "mounted"].map(|name| folder.path().join(name));
        for path in [&real, &mounted] {
            fs::write(path, "").unwrap();
        }
        let m = mounted.display();
        let mount = format!("mount --bind {} {m}", real.display());
        let emulate =
            format!("exec {} emulate --json --port 0 --state {m}", env!("CARGO_BIN_EXE_bondify"));
        let namespace = ["unshare", "--mount", "--map-root-user", "sh", "-c"];
        let (shell, script, mounted_here) = if succeeds(&namespace, &mount).await {
            (&namespace[..], format!("{mount} && {emulate}"), None)
        } else if succeeds(&["sh", "-c"], &mount).await {
            // In a chroot, root may mount and nobody may have a namespace.
            (&["sh", "-c"][..], emulate, Some(Mounted(&mounted)))
        } else {
            skipped("mount", "is refused by the kernel");
            return;
        };
        let mut counts = Vec::new();
        for _ in 0..2 {
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).arg(&script).env("BONDIFY_WEBHOOK_SECRET", SECRET);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
            let mut emulator = Running::of(command);
            let ready = emulator.json().await["ready"].take();
            assert_eq!(generate(&ready).await, 200);
            emulator.signal("INT").await;
            assert_eq!(emulator.end().await.code, Some(0));
            let lines = fs::read_to_string(&real).unwrap();
            counts.push(lines.matches("sess_").count());
        }
        assert_eq!(counts, [1, 2], "it is read and written again");
        drop(mounted_here);
        assert_eq!(fs::read_to_string(&mounted).unwrap(), "");
    })
    .await;
}

/// Whether a shell runs a script with success.
async fn succeeds(shell: &[&str], script: &str) -> bool {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(script).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// A file on which another is mounted. It is unmounted when dropped.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays", self.0.display());
    }
}

#[tokio::test]
async fn a_secret_file_without_an_end_is_refused() {
    within_a_minute(async {
        for option in ["--secret-file", "--token-file"] {
            let args = match option {
                "--secret-file" => &["sign", option, "/dev/zero"][..],
                _ => &["projects", "list", option, "/dev/zero"],
            };
            let refused = run(args).await;
            assert_eq!(refused.code, Some(2));
            assert!(refused.stderr.contains("/dev/zero has more than 1 MiB"), "{refused}");
        }
    })
    .await;
}
