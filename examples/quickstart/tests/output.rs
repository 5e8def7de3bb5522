//! The output of the quickstart.

use std::process::Command;

#[test]
fn every_delivery_is_printed_with_its_outcome() {
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart")).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    let lines: Vec<_> = printed.lines().filter(|line| line.starts_with("auth.")).collect();
    assert_eq!(
        lines,
        [
            "auth.confirmed        1    204  handled",
            "auth.confirmed        1    200  a duplicate: not handled again",
            "auth.cancelled        1    204  handled",
            "auth.confirmed        1    401  a forged signature: never reached the handler",
            "auth.confirmed        2    401  a forged signature: never reached the handler",
            "auth.confirmed        3    401  a forged signature: never reached the handler",
            "auth.confirmed        4    401  a forged signature: never reached the handler",
            "auth.confirmed        1    500  the handler failed: Bondify retries",
            "auth.confirmed        2    204  handled",
        ]
    );
}
