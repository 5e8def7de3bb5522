use bondify_testkit::within_a_minute;
use snapbox::{assert_data_eq, str};
use tempfile::NamedTempFile;

use crate::support::{run, run_with};

// Made with `printf '{"event":"auth.cancelled"}' | openssl dgst -sha256 -hmac whsec_test`.
const BODY: &str = r#"{"event":"auth.cancelled"}"#;
const SIGNATURE: &str = "4abd2a1e2b5e92f88fd6d64867b0870e41afc820687ef5af706ffa5946d374d7";

#[tokio::test]
async fn signs_standard_input_like_openssl() {
    within_a_minute(async {
        let signed = run_with(&["sign"], BODY).await;
        assert_data_eq!(
            signed.to_string(),
            str![[r#"
4abd2a1e2b5e92f88fd6d64867b0870e41afc820687ef5af706ffa5946d374d7
exit code: 0

"#]]
        );
    })
    .await;
}

#[tokio::test]
async fn signs_a_file_byte_for_byte() {
    within_a_minute(async {
        let file = NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::write(path, BODY).unwrap();
        assert_eq!(run(&["sign", "--body", path]).await.stdout, format!("{SIGNATURE}\n"));
        std::fs::write(path, format!("{BODY}\n")).unwrap();
        let with_line_end = run(&["sign", "--body", path]).await;
        assert_eq!((with_line_end.code, with_line_end.stdout.len()), (Some(0), 65));
        assert!(!with_line_end.stdout.contains(SIGNATURE));
    })
    .await;
}

#[tokio::test]
async fn a_signature_is_shown_as_json() {
    within_a_minute(async {
        let signed = run_with(&["--json", "sign"], BODY).await;
        assert_eq!(signed.json(), [serde_json::json!({ "signature": SIGNATURE })]);
    })
    .await;
}

#[tokio::test]
async fn an_unreadable_body_is_an_error() {
    within_a_minute(async {
        let signed = run(&["sign", "--body", "/nonexistent/body.json"]).await;
        assert_data_eq!(
            signed.to_string(),
            str![[r#"
stderr: error: cannot read the body from /nonexistent/body.json: No such file or directory (os error 2)
exit code: 2

"#]]
        );
    })
    .await;
}
