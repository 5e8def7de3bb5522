use std::{
    collections::{BTreeSet, HashSet},
    fmt, fs, io,
    path::{Component, Path, PathBuf},
};

use crate::{
    page::{Located, Page},
    quotes,
};

/// A checkout of the repository, with the rustdoc that was built from it.
pub struct Repository {
    root: PathBuf,
    address: String,
    rustdoc: PathBuf,
}

/// The result of a check.
#[non_exhaustive]
#[derive(Debug, Default)]
pub struct Report {
    /// Each broken rule, in the order of files and lines.
    pub faults: Vec<Fault>,
    /// The crates with links into their rustdoc that could not be checked, as it is not built.
    pub without_rustdoc: BTreeSet<String>,
}

/// A broken rule, in one line of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    page: String,
    line: usize,
    advice: String,
}

impl Repository {
    /// The checkout in the directory `root`, which people find at the URL `address`. `rustdoc` is the
    /// directory that `cargo doc` writes to.
    pub fn new(
        root: impl Into<PathBuf>,
        address: impl Into<String>,
        rustdoc: impl Into<PathBuf>,
    ) -> Self {
        Self { root: root.into(), address: address.into(), rustdoc: rustdoc.into() }
    }

    /// Checks every page.
    ///
    /// # Errors
    ///
    /// If a directory or a page cannot be read.
    pub fn check(&self) -> io::Result<Report> {
        let mut pages = Vec::new();
        // Those in `src` are for rustdoc alone.
        self.find(Path::new(""), &["node_modules", "src", "target"], &[".md"], &mut pages)?;
        pages.sort();
        let mut report = Report::default();
        for path in pages {
            let page = Page::parse(&fs::read_to_string(self.root.join(&path))?);
            self.check_page(&path, &page, &mut report);
        }
        Ok(report)
    }

    /// Checks that each message that the guide or a README quotes is in the source, or in code on the page.
    ///
    /// # Errors
    ///
    /// If a directory or a file cannot be read.
    pub fn check_quotes(&self) -> io::Result<Vec<Fault>> {
        let source = self.source()?;
        self.check_texts(quotes::fixed_texts, |text, page| {
            quotes::has(&source, text) || page.rust.contains(text)
        })
    }

    /// Checks that each code of an answer, each metric and each environment variable in the guide or a README is in
    /// the source.
    ///
    /// # Errors
    ///
    /// If a directory or a file cannot be read.
    pub fn check_names(&self) -> io::Result<Vec<Fault>> {
        let source = self.source()?;
        let names: HashSet<_> = quotes::names(&source).collect();
        self.check_texts(quotes::names_of_page, |name, _| names.contains(name))
    }

    /// The code of the crates and examples.
    fn source(&self) -> io::Result<String> {
        let no_source = ["node_modules", "target", "tests", "fuzz"];
        let mut paths = Vec::new();
        self.find(Path::new(""), &no_source, &[".rs", ".html", ".js"], &mut paths)?;
        let mut source = String::new();
        for path in paths {
            source.push_str(&quotes::readable(&fs::read_to_string(self.root.join(path))?));
        }
        Ok(source)
    }

    /// Checks texts of the guide and the READMEs.
    fn check_texts(
        &self,
        texts: impl Fn(&str) -> Vec<Located>,
        is_sound: impl Fn(&str, &Page) -> bool,
    ) -> io::Result<Vec<Fault>> {
        let mut pages = Vec::new();
        self.find(Path::new(""), &["node_modules", "src", "target"], &[".md"], &mut pages)?;
        pages.retain(|path| path.starts_with("guide") || path.ends_with("README.md"));
        pages.sort();
        let mut faults = Vec::new();
        for path in pages {
            let markdown = fs::read_to_string(self.root.join(&path))?;
            let page = Page::parse(&markdown);
            for Located { line, text } in texts(&markdown) {
                if !is_sound(&text, &page) {
                    let advice = format!("no source has the text `{text}`");
                    faults.push(Fault { page: path.display().to_string(), line, advice });
                }
            }
        }
        Ok(faults)
    }

    /// Adds the files below a directory whose names have one of these ends.
    fn find(
        &self,
        directory: &Path,
        excluded: &[&str],
        ends: &[&str],
        found: &mut Vec<PathBuf>,
    ) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(directory))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = directory.join(&name);
            let is_excluded =
                excluded.contains(&&*name) || (name.starts_with('.') && name != ".github");
            if entry.file_type()?.is_dir() {
                if !is_excluded {
                    self.find(&path, excluded, ends, found)?;
                }
            } else if ends.iter().any(|end| name.ends_with(end)) {
                found.push(path);
            }
        }
        Ok(())
    }

    fn check_page(&self, path: &Path, page: &Page, report: &mut Report) {
        let mut faults = Vec::new();
        let mut add = |located: &Located, advice: String| {
            faults.push(Fault { page: path.display().to_string(), line: located.line, advice });
        };
        for line in &page.hidden_lines {
            add(
                line,
                format!(
                    "hidden line `{}`: GitHub and the registry show it: write the code out, or move \
                     it to the module docs",
                    line.text
                ),
            );
        }
        for info in &page.ignored_code {
            add(info, format!("code with `{}` is not compiled: remove `ignore`", info.text));
        }
        for bracket in &page.brackets {
            add(
                bracket,
                format!(
                    "[{}] has no destination: add one, or write it without brackets",
                    bracket.text
                ),
            );
        }
        for html in &page.html_links {
            add(
                html,
                format!("{} is HTML, which is not checked: write the link in Markdown", html.text),
            );
        }
        for link in &page.links {
            if let Err(advice) =
                self.check_link(path, page, &link.text, &mut report.without_rustdoc)
            {
                add(link, format!("link to {}: {advice}", link.text));
            }
        }
        faults.sort_by_key(|fault| fault.line);
        report.faults.append(&mut faults);
    }

    fn check_link(
        &self,
        path: &Path,
        page: &Page,
        link: &str,
        without_rustdoc: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        if let Some(anchor) = link.strip_prefix('#') {
            return check_own_anchor(path, page, anchor);
        }
        if let Some(anchor) = link.strip_prefix(&format!("{}#", self.address)) {
            return self.check_file(Path::new(""), &format!("README.md#{anchor}")).map(|_| ());
        }
        if let Some(place) = below(&self.address, link) {
            return self.check_address(place);
        }
        if let Some(place) = below("https://docs.rs", link) {
            return self.check_rustdoc(place, without_rustdoc);
        }
        if has_scheme(link) {
            return Ok(());
        }
        if is_crate_readme(path) {
            return Err(advice_on_readme_link(link, &self.address));
        }
        if path.starts_with("guide") && link.starts_with("..") {
            return Err(format!("it is dead in the book: write {}/blob/main/…", self.address));
        }
        self.check_file(path.parent().unwrap_or(Path::new("")), link).map(|_| ())
    }

    /// Checks what follows the address of the repository.
    fn check_address(&self, place: &str) -> Result<(), String> {
        if ["", "issues", "security"].contains(&place) {
            return Ok(());
        }
        let Some((kind, path)) = place.split_once("/main/") else {
            return Err(format!("write {}/blob/main/FILE or …/tree/main/DIRECTORY", self.address));
        };
        let is_directory = self.check_file(Path::new(""), path)?;
        match (kind, is_directory) {
            ("tree", true) | ("blob" | "raw", false) => Ok(()),
            (_, true) => Err("it is a directory: write /tree/main/".into()),
            (_, false) => Err("it is a file: write /blob/main/".into()),
        }
    }

    /// Checks a path in the repository, and tells whether it is a directory.
    fn check_file(&self, directory: &Path, link: &str) -> Result<bool, String> {
        let (path, anchor) = split_anchor(link);
        let path = joined(directory, path).ok_or("it leaves the repository: write the URL")?;
        let file = self.root.join(&path);
        if !file.exists() {
            return Err(format!("there is no {}", path.display()));
        }
        let Some(anchor) = anchor else { return Ok(file.is_dir()) };
        let markdown = file.extension().is_some_and(|extension| extension == "md");
        if !markdown {
            return Err("an anchor needs a Markdown page: link the file".into());
        }
        let page = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        if Page::parse(&page).has_anchor_on_github(anchor) {
            Ok(false)
        } else {
            Err(format!("{} has no heading for #{anchor}", path.display()))
        }
    }

    /// Checks what follows `https://docs.rs`.
    fn check_rustdoc(
        &self,
        place: &str,
        without_rustdoc: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        let (place, anchor) = split_anchor(place);
        let mut parts = place.splitn(3, '/');
        let [name, version, file] = [parts.next(), parts.next(), parts.next()];
        let name = name.unwrap_or_default();
        if !self.check_crate(name)? {
            return Ok(());
        }
        if !matches!(version, None | Some("" | "latest")) {
            return Err("write `latest` for the version".into());
        }
        let Some(file) = file.filter(|file| !file.is_empty()) else { return Ok(()) };
        let library = name.replace('-', "_");
        if below(&library, file).is_none() {
            return Err(format!("write https://docs.rs/{name}/latest/{library}/…"));
        }
        if !self.rustdoc.join(&library).exists() {
            without_rustdoc.insert(name.to_owned());
            return Ok(());
        }
        let mut html = self.rustdoc.join(file);
        if html.is_dir() {
            html.push("index.html");
        }
        let Ok(html) = fs::read_to_string(html) else {
            return Err(format!("rustdoc has no page {file}"));
        };
        match anchor {
            Some(anchor) if !html.contains(&format!("id=\"{anchor}\"")) => {
                Err(format!("rustdoc's page {file} has no id {anchor}"))
            }
            _ => Ok(()),
        }
    }

    /// Checks the name of a crate, and tells whether it is one of this repository.
    fn check_crate(&self, name: &str) -> Result<bool, String> {
        if !name.starts_with("bondify-") {
            return Ok(false);
        }
        let Ok(manifest) = fs::read_to_string(self.root.join(name).join("Cargo.toml")) else {
            return Err(format!("there is no crate {name}"));
        };
        if manifest.contains("publish = false") {
            return Err(format!("{name} is not published"));
        }
        Ok(true)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.page, self.line, self.advice)
    }
}

fn check_own_anchor(path: &Path, page: &Page, anchor: &str) -> Result<(), String> {
    if !page.has_anchor_on_github(anchor) {
        return Err("the page has no such heading on GitHub".into());
    }
    if is_crate_readme(path) && !page.has_anchor_in_rustdoc(anchor) {
        return Err("rustdoc gives that heading another id: word it differently".into());
    }
    Ok(())
}

/// Whether a page is also a registry's page and the documentation of a crate.
fn is_crate_readme(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    matches!(&*parts, [directory, file] if directory.starts_with("bondify-") && file == "README.md")
}

fn advice_on_readme_link(link: &str, address: &str) -> String {
    let is_rust = link.contains("::") || link.contains('@') || !link.contains(['/', '.']);
    if is_rust {
        "only rustdoc knows Rust paths: write https://docs.rs/CRATE/latest/…".into()
    } else {
        format!("it is relative, and dead in the registry: write {address}/blob/main/…")
    }
}

/// The part after `base` and a slash, if `link` is `base` or below it.
fn below<'a>(base: &str, link: &'a str) -> Option<&'a str> {
    let rest = link.strip_prefix(base)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

fn split_anchor(link: &str) -> (&str, Option<&str>) {
    match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (link, None),
    }
}

fn has_scheme(link: &str) -> bool {
    link.split_once(':')
        .is_some_and(|(scheme, rest)| !scheme.contains(['/', '#', '.']) && !rest.starts_with(':'))
}

/// A path relative to a directory, both below the root. `None` if it leaves the root.
fn joined(directory: &Path, path: &str) -> Option<PathBuf> {
    let mut joined = PathBuf::new();
    for part in directory.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => joined.push(part),
            Component::ParentDir if joined.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use tempfile::{TempDir, tempdir};

    use super::*;

    /// A repository of a crate, its rustdoc and a guide.
    fn repository() -> (TempDir, Repository) {
        let root = tempdir().unwrap();
        let files = [
            ("bondify-core/Cargo.toml", ""),
            ("bondify-bench/Cargo.toml", "publish = false"),
            ("guide/secrets.md", "# Secrets\n\n## Keep them\n"),
            ("src/docs/rustdoc.md", "[only rustdoc](crate::Builder)"),
            ("target/doc/bondify_core/index.html", ""),
            ("target/doc/bondify_core/struct.Builder.html", "<section id=\"method.build\">"),
        ];
        for (path, text) in files {
            write(root.path(), path, text);
        }
        let repository =
            Repository::new(root.path(), "https://git.example/us", root.path().join("target/doc"));
        (root, repository)
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The faults of a page with this path and text.
    fn faults(path: &str, text: &str) -> Vec<String> {
        let (root, repository) = repository();
        write(root.path(), path, text);
        repository.check().unwrap().faults.iter().map(Fault::to_string).collect()
    }

    #[track_caller]
    fn assert_sound(path: &str, text: &str) {
        assert_eq!(faults(path, text), [""; 0]);
    }

    #[track_caller]
    fn assert_fault(path: &str, text: &str, expected: &str) {
        let faults = faults(path, text);
        let [fault] = &*faults else { panic!("one fault expected: {faults:?}") };
        assert!(fault.contains(expected), "{fault}");
    }

    #[test]
    fn a_message_that_no_source_has_is_a_fault() {
        let (root, repository) = repository();
        write(root.path(), "bondify-core/src/lib.rs", "log(\"{n} logins were \\\n    lost\")");
        write(root.path(), "bondify-core/tests/a.rs", "\"no claim\"");
        write(root.path(), PAGE, "The log has `5 logins were lost`, not `no claim`.\n");
        assert_eq!(repository.check_quotes().unwrap(), []);
        write(root.path(), PAGE, "\nThe log has `5 logins are lost` or\nthe log has `no claim`.\n");
        let faults = repository.check_quotes().unwrap();
        let faults: Vec<_> = faults.iter().map(Fault::to_string).collect();
        let expected = ["logins are lost", "no claim"]
            .map(|text| format!("{PAGE}:2: no source has the text `{text}`"));
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert_eq!(faults[0], expected[0]);
        assert!(faults[1].ends_with("`no claim`"), "{faults:?}");
    }

    const README: &str = "bondify-core/README.md";
    const PAGE: &str = "guide/first-login.md";

    #[test]
    fn sound_pages_have_no_fault() {
        assert_sound(
            README,
            "# Core\n[a](#core) [b](https://git.example/us/blob/main/guide/secrets.md#keep-them)\n\
             [c](https://git.example/us/tree/main/guide) [d](https://git.example/us)\n\
             [e](https://docs.rs/bondify-core/latest/bondify_core/struct.Builder.html#method.build)\n\
             [f](https://docs.rs/bondify-core/latest/bondify_core/) [g](https://docs.rs/bondify-core)\n\
             [h](https://docs.rs/tower/0.5/x) [i](https://elsewhere.example)\n\
             [j](https://elsewhere.example/x#y) [k](mailto:a@b.example)\n",
        );
        assert_sound(PAGE, "[a](secrets.md#keep-them) [b](./secrets.md)");
        assert_sound("README.md", "[a](bondify-core)");
    }

    #[test]
    fn a_fault_names_file_and_line() {
        assert_fault(
            README,
            "text\n\n[`Builder`]\n",
            "bondify-core/README.md:3: [`Builder`] has no destination",
        );
    }

    #[test]
    fn a_hidden_line_is_a_fault() {
        assert_fault(README, "```\n# hidden\n```\n", ":2: hidden line");
        assert_fault(PAGE, "```rust\n#\n```\n", ":2: hidden line");
    }

    #[test]
    fn ignored_code_is_a_fault() {
        assert_fault(README, "```rust,ignore\n```\n", ":1: code with `rust,ignore`");
    }

    #[test]
    fn a_rust_path_in_a_readme_is_a_fault() {
        for path in ["Builder", "crate::Builder", "Builder::build", "struct@Builder"] {
            assert_fault(README, &format!("[a]({path})"), "only rustdoc knows Rust paths");
        }
    }

    #[test]
    fn a_relative_link_in_a_readme_is_a_fault() {
        assert_fault(README, "[a](../guide/secrets.md)", "it is relative");
        assert_fault(README, "![a](picture.png)", "it is relative");
    }

    #[test]
    fn a_link_in_html_is_a_fault() {
        assert_fault(PAGE, "<a href=\"x\">x</a>", "HTML");
    }

    #[test]
    fn a_missing_file_is_a_fault() {
        assert_fault(
            README,
            "[a](https://git.example/us/blob/main/guide/x.md)",
            "there is no guide/x.md",
        );
        assert_fault(PAGE, "[a](x.md)", "there is no guide/x.md");
    }

    #[test]
    fn a_missing_anchor_of_a_file_is_a_fault() {
        assert_fault(
            README,
            "[a](https://git.example/us/blob/main/guide/secrets.md#x)",
            "no heading for #x",
        );
        assert_fault(PAGE, "[a](secrets.md#x)", "no heading for #x");
        assert_fault(
            README,
            "[a](https://git.example/us/blob/main/bondify-core/Cargo.toml#L1)",
            "needs a Markdown page",
        );
    }

    #[test]
    fn the_address_itself_shows_the_root_readme() {
        let (root, repository) = repository();
        write(root.path(), "README.md", "# Answers\n");
        let links = "[a](https://git.example/us#answers)\n[b](https://git.example/us#x)\n";
        write(root.path(), README, links);
        let report = repository.check().unwrap();
        let faults: Vec<_> = report.faults.iter().map(Fault::to_string).collect();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("README.md has no heading for #x"), "{faults:?}");
    }

    #[test]
    fn a_missing_anchor_of_the_page_is_a_fault() {
        assert_fault(README, "[a](#x)", "no such heading");
        assert_fault(PAGE, "[a](#x)", "no such heading");
    }

    #[test]
    fn an_anchor_that_rustdoc_changes_is_a_fault_in_a_readme_only() {
        assert_fault(README, "# Settings\n[a](#settings)", "rustdoc gives that heading another id");
        assert_sound(PAGE, "# Settings\n[a](#settings)");
    }

    #[test]
    fn a_file_is_a_blob_and_a_directory_is_a_tree() {
        assert_fault(README, "[a](https://git.example/us/blob/main/guide)", "write /tree/main/");
        assert_fault(
            README,
            "[a](https://git.example/us/tree/main/guide/secrets.md)",
            "write /blob/main/",
        );
        assert_fault(
            README,
            "[a](https://git.example/us/blob/master/guide/secrets.md)",
            "/blob/main/FILE",
        );
    }

    #[test]
    fn a_link_out_of_the_repository_is_a_fault() {
        assert_fault("README.md", "[a](../x)", "leaves the repository");
        assert_fault(PAGE, "[a](/guide)", "leaves the repository");
    }

    #[test]
    fn a_relative_link_out_of_the_guide_is_a_fault() {
        assert_fault(PAGE, "[a](../bondify-core/Cargo.toml)", "dead in the book");
        assert_sound(PAGE, "[a](https://git.example/us/blob/main/bondify-core/Cargo.toml)");
    }

    #[test]
    fn a_missing_page_of_rustdoc_is_a_fault() {
        let base = "https://docs.rs/bondify-core/latest/bondify_core";
        assert_fault(README, &format!("[a]({base}/struct.X.html)"), "rustdoc has no page");
        assert_fault(
            README,
            &format!("[a]({base}/struct.Builder.html#method.x)"),
            "has no id method.x",
        );
    }

    #[test]
    fn another_version_or_library_of_rustdoc_is_a_fault() {
        let fault = "write `latest`";
        assert_fault(README, "[a](https://docs.rs/bondify-core/0.1.0/bondify_core/)", fault);
        let fault = "write https://docs.rs/bondify-core/latest/bondify_core/";
        assert_fault(README, "[a](https://docs.rs/bondify-core/latest/bondify_axum/)", fault);
    }

    #[test]
    fn a_crate_that_nobody_can_add_is_a_fault() {
        assert_fault(README, "[a](https://docs.rs/bondify-x)", "there is no crate bondify-x");
        assert_fault(README, "[a](https://docs.rs/bondify-bench)", "is not published");
    }

    #[test]
    fn links_into_rustdoc_that_is_not_built_are_reported() {
        let (root, repository) = repository();
        write(root.path(), "bondify-axum/Cargo.toml", "");
        write(
            root.path(),
            PAGE,
            "[a](https://docs.rs/bondify-axum/latest/bondify_axum/struct.X.html)",
        );
        let report = repository.check().unwrap();
        assert_eq!(report.faults, []);
        assert_eq!(Vec::from_iter(report.without_rustdoc), ["bondify-axum"]);
    }
}
