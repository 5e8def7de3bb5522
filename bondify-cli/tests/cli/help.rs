use bondify_testkit::within_a_minute;
use snapbox::{assert_data_eq, file};

use crate::support::{Finished, run};

async fn stdout(args: &[&str]) -> String {
    let Finished { code, stdout, stderr } = run(args).await;
    assert_eq!((code, &*stderr), (Some(0), ""));
    stdout
}

macro_rules! help {
    ($($name:ident: $args:expr, $file:literal;)*) => {$(
        #[tokio::test]
        async fn $name() {
            within_a_minute(async { assert_data_eq!(stdout($args).await, file![$file]) }).await;
        }
    )*};
}

help! {
    of_bondify: &["--help"], "snapshots/bondify.txt";
    of_emulate: &["emulate", "--help"], "snapshots/emulate.txt";
    of_trigger: &["trigger", "--help"], "snapshots/trigger.txt";
    of_listen: &["listen", "--help"], "snapshots/listen.txt";
    of_sign: &["sign", "--help"], "snapshots/sign.txt";
    of_verify: &["verify", "--help"], "snapshots/verify.txt";
    of_login: &["login", "--help"], "snapshots/login.txt";
    of_projects: &["projects", "--help"], "snapshots/projects.txt";
    of_projects_create: &["projects", "create", "--help"], "snapshots/projects-create.txt";
    of_projects_rotate: &["projects", "rotate", "--help"], "snapshots/projects-rotate.txt";
    of_completions: &["completions", "--help"], "snapshots/completions.txt";
    of_man: &["man", "--help"], "snapshots/man.txt";
}

#[tokio::test]
async fn completions_for_each_shell() {
    within_a_minute(async {
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            let script = stdout(&["completions", shell]).await;
            assert!(script.contains("forward-to"), "{shell}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_man_page_for_bondify_and_for_each_command() {
    within_a_minute(async {
        let page = stdout(&["man"]).await;
        assert!(page.contains(".TH bondify 1"), "{page}");
        assert!(page.contains("130"), "{page}");
        let page = stdout(&["man", "trigger"]).await;
        assert!(page.contains(".TH bondify-trigger 1"), "{page}");
        assert!(page.contains("stale\\-timestamp"), "{page}");
        assert_eq!(run(&["man", "nonsense"]).await.code, Some(2));
    })
    .await;
}
