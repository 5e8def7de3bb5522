use std::{fs, path::PathBuf};

use bondify_emulator::{Emulator, StartError};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Client, builder, encoded, leads_nowhere, runtime};
use crate::shape::{self, Choices};

const HEADER: &str = "{\"bondify-emulator\":1}\n";

const PROJECT: &[(&str, &str)] = &[
    ("project_id", "\"shop\""),
    ("name", "\"Shop\""),
    ("secret", "\"whsec_shop\""),
    ("secret_key", "\"sk_shop\""),
    ("webhook_url", "\"http://127.0.0.1:9/\""),
    ("plan", "\"hobby\""),
    ("active", "true"),
    ("public_access", "true"),
    ("req_phone", "false"),
    ("bare_used", "false"),
    ("faults", "[\"duplicate\",\"delay=7\"]"),
    ("created_at", "1700000000000"),
];

const SESSION: &[(&str, &str)] = &[
    ("session_token", "\"sess_1\""),
    ("project_id", "\"shop\""),
    ("created_at", "1700000000000"),
    ("expires_at", "1700000600000"),
    ("status", "\"confirmed\""),
    ("telegram_id", "\"7123456789\""),
    ("telegram_name", "\"Ada\""),
    ("telegram_username", "null"),
    ("confirmed_at", "1700000000123"),
    ("cancelled_at", "1700000000123"),
];

const DELIVERY: &[(&str, &str)] = &[
    ("id", "\"dlv_1\""),
    ("project_id", "\"shop\""),
    ("session_token", "\"sess_1\""),
    ("event", "\"auth.confirmed\""),
    ("cause", "{\"kind\":\"session\"}"),
    ("created_at", "1700000000000"),
    ("url", "\"http://127.0.0.1:9/\""),
    ("signature", "\"5ec7e7\""),
    ("body", "\"{}\""),
    ("faults", "[]"),
    ("priority", "false"),
    ("max_attempts", "4"),
    ("state", "\"queued\""),
    ("due", "1700000000000"),
    (
        "attempts",
        "[{\"started_at\":1700000000000,\"duration_ms\":7,\"request_headers\":[],\
         \"outcome\":\"timed_out\"}]",
    ),
];

/// The emulator either refuses a state file with an error and leaves it unchanged, or it starts, shows the
/// content and reads the file again.
///
/// The bytes are the file. After `~`, they choose lines that are almost valid.
pub fn emulator_state(data: &[u8]) {
    let file = match data.split_first() {
        Some((b'~', choices)) => lines(&mut Choices(choices)).into_bytes(),
        _ => data.to_owned(),
    };
    BENCH.with(|bench| bench.run(&file));
}

fn lines(choices: &mut Choices<'_>) -> String {
    let mut lines = String::from(HEADER);
    while !choices.0.is_empty() && lines.len() < 8192 {
        let line = match choices.byte() % 8 {
            0..=2 => format!("{{\"session\":{}}}", shape::altered(choices, SESSION)),
            3..=5 => format!("{{\"delivery\":{}}}", shape::altered(choices, DELIVERY)),
            6 => format!("{{\"project\":{}}}", shape::altered(choices, PROJECT)),
            _ => choices.one_of(&["\"reset\"", "{\"project_deleted\":\"shop\"}"]).to_owned(),
        };
        lines.push_str(&line);
        lines.push_str(choices.one_of(&["\n", "\n", "\n", "\n", "\n", "\r\n", "", "\n\n"]));
    }
    lines
}

thread_local! {
    static BENCH: Bench = Bench::new();
}

struct Bench {
    runtime: Runtime,
    _folder: TempDir,
    path: PathBuf,
}

impl Bench {
    fn new() -> Self {
        // A file in memory is written fast.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.expect("there is room for a file");
        Self { runtime: runtime(), path: folder.path().join("state"), _folder: folder }
    }

    fn start(&self) -> Result<Emulator, StartError> {
        self.runtime.block_on(builder().state(&self.path).start())
    }

    fn run(&self, file: &[u8]) {
        fs::write(&self.path, file).expect("the file is written");
        let emulator = match self.start() {
            Ok(emulator) => emulator,
            Err(StartError::State(_)) => {
                assert_eq!(fs::read(&self.path).expect("the file is there"), file);
                return;
            }
            Err(other) => panic!("{other:?}"),
        };
        let count = |emulator: &Emulator| {
            [emulator.projects().len(), emulator.sessions().len(), emulator.deliveries().len()]
        };
        let counted = count(&emulator);
        drop(emulator);
        let emulator = self.start().expect("what was written is read again");
        assert_eq!(count(&emulator), counted);
        let urls_of_projects = emulator.projects();
        let urls = urls_of_projects.iter().filter_map(|project| project.webhook_url.as_ref());
        let deliveries = emulator.deliveries();
        if urls.chain(deliveries.iter().map(|delivery| &delivery.url)).all(leads_nowhere) {
            self.runtime.block_on(show(&emulator));
        }
    }
}

/// Requests every page and call that shows content of the file.
async fn show(emulator: &Emulator) {
    let mut client = Client::default();
    let delivery = emulator.deliveries().first().map(|delivery| delivery.id.to_string());
    let session = emulator.sessions().first().map(|session| encoded(session.token.as_bytes()));
    for path in [
        &format!("/bot?start={}", session.unwrap_or_default()),
        "/",
        "/?tab=sessions",
        &format!("/?delivery={}", delivery.unwrap_or_default()),
        "/emulator/sessions",
        "/emulator/deliveries",
        "/api/v1/dev/me",
        "/api/v1/dev/analytics?days=90",
    ] {
        client.send(emulator.address(), "GET", path, "application/json", b"").await;
    }
}
