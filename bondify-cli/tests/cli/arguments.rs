//! The messages about wrong arguments.

use bondify_testkit::within_a_minute;

use crate::support::run;

const URL: &str = "--url=http://127.0.0.1:9/";

#[tokio::test]
async fn an_error_says_what_to_write_instead() {
    within_a_minute(async {
        let cases = [
            (&["trigger", "auth.cancelled", "--url", "127.0.0.1:1/x"][..], "http://127.0.0.1:1/x"),
            (&["trigger", "auth.cancelled", "--url", "localhost:1"], "write http://localhost:1"),
            (&["trigger", "auth.cancelled", "--url", "app"], "write http://app"),
            (&["trigger", "auth.cancelled", "--url", "ftp://app"], "not an http:// or https://"),
            (&["trigger", "auth.cancelled", URL, "--count=0"], "must be a number from 1"),
            (&["trigger", "auth.cancelled", URL, "--concurrency=0"], "must be a number from 1"),
            (&["trigger", "auth.cancelled", URL, "--timeout=0s"], "must be longer than 0"),
            (&["trigger", "auth.cancelled", URL, "--timeout=10"], "write e.g. 10s"),
            (&["trigger", "auth.confirmed", URL, "--username=@ada"], "write it without @: ada"),
            (&["trigger", "auth.confirmed", URL, "--telegram-name="], "must not be empty"),
            (&["login", "--project", ""], "must not be empty"),
            (&["emulate", "--project", ""], "must not be empty"),
            (&["emulate", "--token", ""], "the developer token is empty"),
            (&["emulate", "--timeout", "0s"], "must be longer than 0"),
            (&["projects", "list", "--token", ""], "the developer token is empty"),
            (&["projects", "delete", ""], "must not be empty"),
            (&["listen", "--port=0", "--forward-to=app:3000"], "write http://app:3000"),
        ];
        for (args, part) in cases {
            let refused = run(args).await;
            assert_eq!((refused.code, &*refused.stdout), (Some(2), ""), "{args:?}");
            assert!(refused.stderr.contains(part), "{args:?}: {refused}");
        }
    })
    .await;
}
