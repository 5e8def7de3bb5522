use std::process::Stdio;

use bondify_testkit::{skipped, within_a_minute};
use tokio::process::Command;

use crate::support::{Recorder, SECRET, run};

const ESCAPE: char = '\u{1b}';

/// Runs a command on a terminal that `script` of util-linux emulates. Returns `None` if `script`
/// is not installed.
async fn on_a_terminal(command: &str, variable: (&str, &str)) -> Option<String> {
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", command, "/dev/null"]);
    script.env_remove("NO_COLOR").env("TERM", "xterm").env("BONDIFY_WEBHOOK_SECRET", SECRET);
    script.env(variable.0, variable.1).stdin(Stdio::null()).kill_on_drop(true);
    let Ok(output) = script.output().await else {
        skipped("script", "is not installed");
        return None;
    };
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn output_is_coloured_on_a_terminal_without_no_color_only() {
    within_a_minute(async {
        let (_, url) = Recorder::start(|| "thanks").await;
        let plain = run(&["trigger", "auth.cancelled", "--url", &url]).await.stdout;
        assert!(!plain.contains(ESCAPE), "{plain}");

        let command = env!("CARGO_BIN_EXE_bondify");
        let command = format!("{command} trigger auth.cancelled --url {url}");
        let Some(coloured) = on_a_terminal(&command, ("PLAIN", "")).await else { return };
        assert!(coloured.contains("200 OK") && coloured.contains(ESCAPE), "{coloured}");
        let plain = on_a_terminal(&command, ("NO_COLOR", "1")).await.unwrap();
        assert!(plain.contains("200 OK") && !plain.contains(ESCAPE), "{plain}");
    })
    .await;
}

#[tokio::test]
async fn progress_is_shown_on_a_terminal_only() {
    within_a_minute(async {
        let (_, url) = Recorder::start(|| "thanks").await;
        let many = ["trigger", "auth.cancelled", "--url", &url, "--count", "5"];
        assert_eq!(run(&many).await.stderr, "");
        let command = format!("{} {}", env!("CARGO_BIN_EXE_bondify"), many.join(" "));
        let Some(shown) = on_a_terminal(&command, ("PLAIN", "")).await else { return };
        assert!(shown.contains("/5"), "{shown}");
    })
    .await;
}
