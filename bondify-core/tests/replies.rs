//! The replies in the README of the repository.

use bondify_core::Reply;

#[test]
fn the_readme_lists_every_reply() {
    let expected = Reply::ALL.iter().map(|reply| {
        let retries = reply.headers().iter().any(|(name, _)| *name == "retry-after");
        let retry = if retries { " + `Retry-After`" } else { "" };
        format!("| {}{retry} | `{}` |", reply.status(), reply.code())
    });
    let readme = include_str!("../../README.md");
    let table = readme.split("| when | status | code |").nth(1).unwrap();
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), Reply::ALL.len());
    for (row, expected) in rows.into_iter().zip(expected) {
        assert!(row.ends_with(&expected), "{row} should end with {expected}");
    }
}
