//! The files that pages show are the files beside them, and their programs accept them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, io, path::Path, process::Command};

use bondify_testkit::skipped;

#[test]
fn the_pages_show_the_files() {
    let containers = include_str!("../containers.md");
    let systemd = include_str!("../systemd.md");
    for (page, file) in [
        (containers, include_str!("../container/Dockerfile")),
        (containers, include_str!("../container/compose.yaml")),
        (containers, include_str!("../container/Caddyfile")),
        (systemd, include_str!("../systemd/app.service")),
    ] {
        assert!(page.contains(&format!("\n{file}```")), "no page shows:\n{file}");
    }
}

/// The tests of the sign-in use it in browsers.
#[test]
fn the_tests_use_the_readers_own_page() {
    let tested = include_str!("../../bondify-login/tests/suite/own_page.rs");
    let (_, code) = tested.split_once("\n\n").unwrap();
    let code = code.replace("pub(crate) ", "").replace("bondify_login", "bondify_axum::login");
    assert!(include_str!("../signing-in.md").contains(&format!("\n{code}```")), "{code}");
}

#[test]
fn the_page_shows_the_programs_with_sessions() {
    let page = include_str!("../users-and-sessions.md");
    let sql = include_str!("../../examples/sessions/sign_in.sql");
    assert!(page.contains(&format!("```sql\n{sql}```")), "the page does not show:\n{sql}");
    for program in [
        include_str!("../../examples/sessions/src/bin/actix_session.rs"),
        include_str!("../../examples/sessions/src/bin/axum_login.rs"),
        include_str!("../../examples/sessions/src/bin/one_file.rs"),
        include_str!("../../examples/sessions/src/bin/rocket_cookies.rs"),
        include_str!("../../examples/sessions/src/bin/tower_sessions.rs"),
        include_str!("../../examples/sessions/src/bin/warp_cookies.rs"),
    ] {
        let (_head, code) = program.split_once(")]\n\n").unwrap();
        let code = code.split("\n#[cfg(test)]").next().unwrap();
        let shown = page.contains(&format!("```rust,no_run\n{code}```"));
        assert!(shown, "the page does not show:\n{code}");
    }
}

/// `scripts/apps` compiles and tests them.
#[test]
fn the_page_shows_the_apps_of_frameworks_on_axum() {
    let page = include_str!("../frameworks.md");
    for file in [
        include_str!("../../examples/dioxus/src/account.rs"),
        include_str!("../../examples/dioxus/src/server.rs"),
        include_str!("../../examples/leptos/src/account.rs"),
        include_str!("../../examples/leptos/src/app.rs"),
        include_str!("../../examples/leptos/src/main.rs"),
        include_str!("../../examples/loco/src/telegram.rs"),
        include_str!("../../examples/loco/src/users.rs"),
    ] {
        assert!(page.contains(&format!("```rust\n{file}```")), "the page does not show:\n{file}");
    }
    for (framework, manifest) in [
        ("dioxus", include_str!("../../examples/dioxus/Cargo.toml")),
        ("leptos", include_str!("../../examples/leptos/Cargo.toml")),
        ("loco-rs", include_str!("../../examples/loco/Cargo.toml")),
    ] {
        let required = manifest.lines().find(|line| line.starts_with(&format!("{framework} = ")));
        let version = required.unwrap().split('"').nth(1).unwrap();
        let name = framework.trim_end_matches("-rs");
        assert!(page.contains(&format!("](#{name}) {version} |")), "{name} is {version}");
    }
}

#[test]
fn the_page_shows_how_the_example_records_metrics() {
    let page = include_str!("../monitoring.md");
    let file = include_str!("../../examples/observability/src/metrics.rs");
    assert!(
        page.contains(&format!("```rust,no_run\n{file}```")),
        "the page does not show:\n{file}"
    );
}

#[test]
fn no_proxy_has_to_hide_the_metrics() {
    let pages = [include_str!("../reverse-proxies.md"), include_str!("../containers.md")];
    for page in pages.into_iter().chain([include_str!("../several-instances.md")]) {
        for tag in ["nginx", "caddyfile", "haproxy"] {
            for block in page.split(&format!("```{tag}\n")).skip(1) {
                let file = block.split("```").next().unwrap_or_default();
                assert!(!file.contains("metrics"), "{file}");
            }
        }
    }
}

#[test]
fn systemd_accepts_the_unit_file() {
    let folder = tempfile::tempdir().unwrap();
    let program = "/usr/local/bin/shop";
    let unit = include_str!("../systemd/app.service");
    assert_eq!(unit.matches(program).count(), 1, "{unit}");
    let file = folder.path().join("app.service");
    fs::write(&file, unit.replace(program, "/bin/true")).unwrap();
    match Command::new("systemd-analyze").arg("verify").arg(&file).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && said.is_empty(), "{said}");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            skipped("systemd-analyze", "is not installed");
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn caddy_accepts_the_file_of_the_container() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("container/Caddyfile");
    let mut caddy = Command::new("caddy");
    match caddy.args(["validate", "--adapter", "caddyfile", "--config"]).arg(file).output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(_) => skipped("caddy", "is not installed"),
    }
}
