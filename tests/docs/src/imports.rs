//! The imports between the modules of a crate, with re-exports resolved.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs, io,
    path::Path,
    slice,
};

use syn::{
    Attribute, Item, ItemUse, UseTree, Visibility,
    visit::{Visit, visit_item, visit_path},
};

use crate::Arrows;

/// The path of a module, such as `["store", "memory"]`. That of the crate is empty.
type ModulePath = Vec<String>;

/// The modules of a crate, one for each file.
pub struct Modules(BTreeMap<ModulePath, Module>);

#[derive(Default)]
struct Module {
    defined: HashSet<String>,
    /// The absolute paths of imported and re-exported names, by name.
    named: HashMap<String, ModulePath>,
    /// The paths whose names are all imported.
    globs: Vec<ModulePath>,
    /// All absolute paths in the code.
    paths: Vec<ModulePath>,
}

impl Modules {
    /// Reads the modules of a crate in its directory `src`. Code for tests is left out.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or is not Rust.
    pub fn read(src: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        find(src, &mut Vec::new(), &mut files)?;
        let paths: BTreeSet<_> = files.iter().map(|(path, _)| path.clone()).collect();
        let mut modules = BTreeMap::new();
        for (path, text) in files {
            let file = syn::parse_file(&text).map_err(io::Error::other)?;
            let mut reader = Reader { path: &path, paths: &paths, module: Module::default() };
            reader.visit_file(&file);
            modules.insert(path.clone(), reader.module);
        }
        Ok(Self(modules))
    }

    /// The modules that each module imports from, as paths with slashes. The crate's root is left out,
    /// since it only gathers the others, and so is what a module imports from those inside it.
    #[must_use]
    pub fn imports(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (from, module) in &self.0 {
            for path in &module.paths {
                let Some(to) = self.definition(path, 0) else { continue };
                if !from.is_empty() && !to.is_empty() && !to.starts_with(from) {
                    arrows.insert((from.join("/"), to.join("/")));
                }
            }
        }
        arrows
    }

    /// The module in which a path leads to a definition, not to a re-export.
    fn definition(&self, path: &[String], depth: usize) -> Option<&ModulePath> {
        const DEEPEST: usize = 20;
        let lengths = (0..=path.len()).rev();
        let (found, module) =
            lengths.into_iter().find_map(|length| self.0.get_key_value(&path[..length]))?;
        let Some(name) = path.get(found.len()) else { return Some(found) };
        if module.defined.contains(name) || depth > DEEPEST {
            return Some(found);
        }
        let through = |path: &ModulePath| self.definition(path, depth + 1);
        let named = module.named.get(name).filter(|&named| named != path).and_then(through);
        let glob = || {
            let with_name = |glob: &ModulePath| [&glob[..], slice::from_ref(name)].concat();
            let mut all = module.globs.iter().map(with_name).filter_map(|path| {
                let found = self.definition(&path, depth + 1)?;
                self.0[found].defined.contains(name).then_some(found)
            });
            all.next()
        };
        named.or_else(glob).or(Some(found))
    }
}

/// The arrows that are part of a circle.
#[must_use]
pub fn circles(arrows: &Arrows) -> Arrows {
    let leads_back = |(from, to): &&(String, String)| reached(arrows, to).contains(from);
    arrows.iter().filter(leads_back).cloned().collect()
}

/// The names that arrows lead to from a name, also in several steps.
#[must_use]
pub fn reached(arrows: &Arrows, from: &str) -> BTreeSet<String> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(name) = next.pop() {
        for (_, to) in arrows.iter().filter(|(from, _)| *from == name) {
            if reached.insert(to.clone()) {
                next.push(to.clone());
            }
        }
    }
    reached
}

/// The arrows between the topmost modules.
#[must_use]
pub fn between_folders(arrows: &Arrows) -> Arrows {
    let top = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    let folders = arrows.iter().map(|(from, to)| (top(from), top(to)));
    folders.filter(|(from, to)| from != to).collect()
}

fn find(
    folder: &Path,
    path: &mut ModulePath,
    files: &mut Vec<(ModulePath, String)>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            path.push(name);
            find(&entry.path(), path, files)?;
            path.pop();
        } else if let Some(name) = name.strip_suffix(".rs") {
            let is_folders = ["lib", "main", "mod"].contains(&name);
            let own = if is_folders { None } else { Some(name.to_owned()) };
            let module = path.iter().cloned().chain(own).collect();
            files.push((module, fs::read_to_string(entry.path())?));
        }
    }
    Ok(())
}

/// Reads the code of a module.
struct Reader<'a> {
    path: &'a [String],
    /// The paths of all modules.
    paths: &'a BTreeSet<ModulePath>,
    module: Module,
}

impl Reader<'_> {
    /// A path from the crate's root. `None` if it leads to another crate.
    fn absolute(&self, path: &[String]) -> Option<ModulePath> {
        let ups = path.iter().take_while(|name| *name == "super").count();
        if ups > 0 {
            let parent = &self.path[..self.path.len().checked_sub(ups)?];
            return Some([parent, &path[ups..]].concat());
        }
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([self.path, &path[1..]].concat()),
            first => {
                let child = [self.path, &[first.to_owned()]].concat();
                self.paths.contains(&child).then(|| [self.path, path].concat())
            }
        }
    }

    fn add(&mut self, tree: &UseTree, before: &[String]) {
        let then = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add(&path.tree, &then(&path.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add(tree, before)),
            UseTree::Glob(_) => {
                let all = self.absolute(before);
                self.module.paths.extend(all.clone());
                self.module.globs.extend(all);
            }
            UseTree::Name(name) if name.ident == "self" => {
                self.add_named(before.last().cloned().unwrap_or_default(), before);
            }
            UseTree::Name(name) => self.add_named(name.ident.to_string(), &then(&name.ident)),
            UseTree::Rename(rename) => {
                self.add_named(rename.rename.to_string(), &then(&rename.ident));
            }
        }
    }

    fn add_named(&mut self, name: String, path: &[String]) {
        if let Some(path) = self.absolute(path) {
            self.module.paths.push(path.clone());
            self.module.named.insert(name, path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name): (&[Attribute], _) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Union(item) => (&item.attrs, Some(&item.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Mod(item) => (&item.attrs, None),
            Item::Use(item) => (&item.attrs, None),
            _ => (&[], None),
        };
        if attributes.iter().any(is_for_tests) {
            return;
        }
        self.module.defined.extend(name.map(ToString::to_string));
        visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add(&item.tree, &[]);
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {} // `pub(in crate::…)` imports nothing

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let is_absolute = ["crate", "super"].contains(&&*names[0]);
        self.module.paths.extend(self.absolute(&names).filter(|_| is_absolute));
        visit_path(self, path);
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    let condition = attribute.meta.require_list().map(|list| list.tokens.to_string());
    let condition = condition.unwrap_or_default();
    attribute.path().is_ident("cfg") && (condition == "test" || condition.starts_with("all (test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let arrows = Modules::read(folder.path()).unwrap().imports();
        arrows.iter().map(|(from, to)| format!("{from} {to}")).collect()
    }

    #[test]
    fn every_form_of_an_import_is_found() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::{B, self}; fn f() { crate::c::f() }"),
            ("b.rs", "mod d; pub struct B;"),
            ("b/d.rs", "use super::super::c::f; use std::fmt;"),
            ("c.rs", "pub fn f() {}"),
        ];
        assert_eq!(imports(&files), ["a b", "a c", "b/d c"]);
    }

    #[test]
    fn a_re_export_is_resolved() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use crate::b::B as C; pub use b::*;"),
            ("a.rs", "use crate::C;"),
            ("b.rs", "pub use inner::B; mod inner; pub struct E;"),
            ("b/inner.rs", "pub struct B;"),
            ("e.rs", "use crate::E;"),
        ];
        assert_eq!(imports(&files), ["a b/inner", "e b"]);
    }

    #[test]
    fn code_for_tests_is_left_out() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "#[cfg(test)] use crate::b::B; #[cfg(test)] mod tests { use crate::b::B; }"),
            ("b.rs", "pub struct B;"),
        ];
        assert_eq!(imports(&files), [""; 0]);
    }

    #[test]
    fn a_circle_is_found_in_several_steps() {
        let arrows = ["a b", "b c", "c a", "c d"].map(|arrow| {
            let (from, to) = arrow.split_once(' ').unwrap();
            (from.to_owned(), to.to_owned())
        });
        let circles = circles(&Arrows::from(arrows));
        assert_eq!(circles.len(), 3);
        assert!(!circles.iter().any(|(_, to)| to == "d"));
    }
}
