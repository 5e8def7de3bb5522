use bondify_testkit::within_a_minute;
use snapbox::{assert_data_eq, str};
use tempfile::NamedTempFile;

use crate::support::{Finished, bondify, run, run_with};

#[tokio::test]
async fn an_option_overrides_the_environment() {
    within_a_minute(async {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "whsec_b\n").unwrap();
        let from_environment = run_with(&["sign"], "body").await.stdout;
        let given = run_with(&["sign", "--secret", "whsec_b"], "body").await.stdout;
        let path = file.path().to_str().unwrap();
        let from_file = run_with(&["sign", "--secret-file", path], "body").await.stdout;
        assert_eq!(from_file, given);
        assert_ne!(from_environment, given);
        let same = run_with(&["sign", "--secret", "whsec_test"], "body").await.stdout;
        assert_eq!(from_environment, same);
    })
    .await;
}

#[tokio::test]
async fn a_missing_secret_is_an_error() {
    within_a_minute(async {
        for args in [
            &["sign"][..],
            &["verify", "--signature", "00"],
            &["trigger", "auth.cancelled", "--url", "http://127.0.0.1:9"],
            &["listen", "--port", "0"],
        ] {
            let mut command = bondify(args);
            command.env_remove("BONDIFY_WEBHOOK_SECRET");
            assert_data_eq!(
                Finished::of(command).await.to_string(),
                str![[r#"
stderr: error: no secret: set BONDIFY_WEBHOOK_SECRET, or use --secret-file or --secret
exit code: 2

"#]]
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_cannot_match_is_refused() {
    within_a_minute(async {
        let padded = run(&["sign", "--secret", "whsec_hush "]).await;
        assert_data_eq!(
            padded.to_string(),
            str![[r#"
stderr: error: the webhook secret has whitespace around it; copy it without line end or spaces
exit code: 2

"#]]
        );
        let marked = bondify(&["verify", "--signature", "00", "--secret", "whsec_\u{feff}hush"]);
        assert_data_eq!(
            Finished::of(marked).await.to_string(),
            str![[r#"
stderr: error: the webhook secret contains the invisible character U+FEFF; copy it again, or save it as UTF-8 without a byte order mark
exit code: 2

"#]]
        );
        let mut empty = bondify(&["sign"]);
        empty.env("BONDIFY_WEBHOOK_SECRET", "");
        assert_eq!(Finished::of(empty).await.code, Some(2));
    })
    .await;
}

#[tokio::test]
async fn a_secret_is_never_printed() {
    within_a_minute(async {
        let cases = [
            &["sign", "--secret", "whsec_hush "][..],
            &["sign", "--secret", "whsec_hush", "--secret-file", "/dev/null"],
            &["sign", "--secret", "whsec_hush", "--nonsense"],
            &["sign", "--secret", "whsec_hush", "--json"],
            &["--secret", "whsec_hush", "sign"],
            &["verify", "--secret", "whsec_hush"],
            &["verify", "--secret", "whsec_hush", "--signature", "00"],
            &["verify", "--secret", "'whsec_hush'", "--signature", "0"],
            &["trigger", "--secret", "whsec_hush", "--url", "http://127.0.0.1:1", "auth.cancelled"],
            &["trigger", "--secret", "whsec_hush", "--url", "nonsense", "auth.cancelled"],
            &["listen", "--secret", "whsec_hush", "--port", "99999"],
        ];
        for args in cases {
            let Finished { stdout, stderr, .. } = run(args).await;
            assert!(!stdout.contains("hush") && !stderr.contains("hush"), "{stdout}{stderr}");
        }
        let mut help = bondify(&["sign", "--help"]);
        help.env("BONDIFY_WEBHOOK_SECRET", "whsec_hush");
        assert!(!Finished::of(help).await.stdout.contains("hush"));
    })
    .await;
}
