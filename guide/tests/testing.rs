//! Rustdoc does not compile tests that pages show, so they are tests of this crate.

#[test]
fn the_page_shows_the_tests_that_run_here() {
    let page = include_str!("../testing.md");
    for test in [include_str!("handler.rs"), include_str!("login.rs")] {
        let (_head, shown) = test.split_once("\n\n").expect("a head is above the test");
        assert!(page.contains(&format!("```rust\n{shown}```")), "the page does not show:\n{shown}");
    }
}
