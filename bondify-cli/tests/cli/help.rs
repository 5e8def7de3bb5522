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
    of_doctor: &["doctor", "--help"], "snapshots/doctor.txt";
    of_login: &["login", "--help"], "snapshots/login.txt";
    of_projects: &["projects", "--help"], "snapshots/projects.txt";
    of_projects_create: &["projects", "create", "--help"], "snapshots/projects-create.txt";
    of_projects_update: &["projects", "update", "--help"], "snapshots/projects-update.txt";
    of_projects_rotate: &["projects", "rotate", "--help"], "snapshots/projects-rotate.txt";
    of_me: &["me", "--help"], "snapshots/me.txt";
    of_sessions: &["sessions", "--help"], "snapshots/sessions.txt";
    of_analytics: &["analytics", "--help"], "snapshots/analytics.txt";
    of_catch_up: &["catch-up", "--help"], "snapshots/catch-up.txt";
    of_deliveries: &["deliveries", "--help"], "snapshots/deliveries.txt";
    of_resend: &["resend", "--help"], "snapshots/resend.txt";
    of_completions: &["completions", "--help"], "snapshots/completions.txt";
    of_man: &["man", "--help"], "snapshots/man.txt";
}

#[tokio::test]
async fn completions_are_printed_for_each_shell() {
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
        let page = stdout(&["man", "projects-create"]).await;
        assert!(page.contains(".TH bondify-projects-create 1"), "{page}");
        let refused = run(&["man", "nonsense"]).await;
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains("projects-create"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn every_page_that_a_page_names_is_installed() {
    within_a_minute(async {
        let folder = tempfile::tempdir().unwrap();
        let man1 = folder.path().join("man/man1");
        let installed = stdout(&["man", "--install", man1.to_str().unwrap()]).await;
        assert!(installed.contains(" pages written to "), "{installed}");
        let pages: Vec<_> = std::fs::read_dir(&man1)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(pages.len() > 10, "{pages:?}");
        let mut named = 0;
        for page in &pages {
            let text = std::fs::read_to_string(man1.join(page)).unwrap().replace('\\', "");
            for word in text.split(|c: char| !c.is_ascii_alphanumeric() && !"-()".contains(c)) {
                let Some(name) = word.strip_suffix("(1)") else { continue };
                assert!(pages.contains(&format!("{name}.1")), "{name} in {page}");
                named += 1;
            }
        }
        assert!(named > 10, "{named}");
    })
    .await;
}

#[tokio::test]
async fn the_names_of_pages_are_completed() {
    within_a_minute(async {
        let script = stdout(&["completions", "bash"]).await;
        assert!(script.contains("projects-create"), "{script}");
    })
    .await;
}
