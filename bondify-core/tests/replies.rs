//! The replies and limits in the guide's reference.

use bondify_core::Reply;

const REFERENCE: &str = include_str!("../../guide/reference.md");

#[test]
fn the_reference_lists_every_reply() {
    let expected = Reply::ALL.iter().map(|reply| {
        let retries = reply.headers().iter().any(|(name, _)| *name == "retry-after");
        let retry = if retries { " + `Retry-After`" } else { "" };
        format!("| {}{retry} | `{}` |", reply.status(), reply.code())
    });
    let table = REFERENCE.split("| when | status | code |").nth(1).unwrap();
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), Reply::ALL.len());
    for (row, expected) in rows.into_iter().zip(expected) {
        assert!(row.ends_with(&expected), "{row} should end with {expected}");
    }
}
