use std::path::Path;

use bondify_emulator::{Emulator, ProjectSettings};
use bondify_testkit::within_a_minute;
use tempfile::tempdir;
use tokio::process::Command;

use crate::support::Receiver;

const README: &str = include_str!("../../README.md");

/// The receiver and the emulator that the README assumes.
const RECEIVER: &str = "http://127.0.0.1:3000/webhooks/bondify";
const EMULATOR: &str = "http://127.0.0.1:4680";

#[tokio::test]
async fn the_readme_is_correct() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let project = ProjectSettings::new().id("proj_local");
        let emulator = Emulator::builder().developer_token("dev_test").project(project);
        let emulator = emulator.start().await.unwrap();
        let directory = tempdir().unwrap();
        let blocks = README.split("```console\n").skip(1);
        let commands =
            blocks.flat_map(|block| block.split("```").next().unwrap().split("$ ").skip(1));
        let mut exports = String::new();
        for command in commands {
            let (command, expected) = command.split_once('\n').unwrap();
            if command.starts_with("export ") {
                exports = format!("{exports}{command}\n");
                continue;
            }
            let script = format!("{exports}{command}");
            let script = script.replace(RECEIVER, &receiver.url).replace(EMULATOR, emulator.url());
            assert_eq!(
                normal(&run(&script, directory.path()).await),
                normal(expected),
                "{command}"
            );
        }
        assert!(!receiver.handled().is_empty());
    })
    .await;
}

/// The standard output of a shell script.
async fn run(script: &str, directory: &Path) -> String {
    let bondify = Path::new(env!("CARGO_BIN_EXE_bondify")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", bondify.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env_clear().env("PATH", path).current_dir(directory);
    String::from_utf8(shell.kill_on_drop(true).output().await.unwrap().stdout).unwrap()
}

/// The text without the parts that differ from run to run: ids and numbers with a fraction.
fn normal(text: &str) -> String {
    let is_end = |character: char| !character.is_ascii_alphanumeric() && !"_.".contains(character);
    let normal = |word: &str| {
        let core = word.trim_end_matches(is_end);
        let fraction = core.contains('.') && core.parse::<f64>().is_ok();
        let id = ["sess_", "proj_", "whsec_", "sk_"].iter().any(|prefix| core.starts_with(prefix));
        if fraction || id { word.replace(core, "#") } else { word.into() }
    };
    text.split_inclusive(is_end).map(normal).collect()
}
