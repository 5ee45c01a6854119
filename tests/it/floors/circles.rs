//! Circles of imports inside a floor: files of one top-level module that need each other in turn.
//!
//! Whoever wants to understand one file of a circle has to read all of them. An import counts for the
//! file that has what it names: one through a parent that only hands a name on (`pub use`) counts for
//! the child that has it. Left out: test code, names that only a macro makes, and what a file and the
//! one that declares it have of each other: that one is their front, and read first anyway.

use std::collections::{BTreeMap, BTreeSet};

use super::File;
use super::source::{self, Path};

/// A file as its neighbours see it.
struct Module {
    path: String,
    paths: Vec<Path>,
}

/// The files by their module path, with the paths in them but for those of test code.
fn modules(files: &[File]) -> BTreeMap<Vec<String>, Module> {
    let tests: BTreeSet<String> = files.iter().flat_map(super::test_files).collect();
    let mut modules = BTreeMap::new();
    for file in files {
        let module = file.module();
        let is_test = (1..=module.len()).any(|n| tests.contains(&module[..n].join("/")));
        if module.is_empty() || is_test {
            continue;
        }
        let tokens = source::without_tests(&file.tokens());
        let (path, paths) = (file.path.clone(), source::paths(&tokens));
        let name = module.into_iter().map(str::to_owned).collect();
        modules.insert(name, Module { path, paths });
    }
    modules
}

/// The path from the crate's root; none for one into an outside crate or of a name in the file.
fn absolute(
    here: &[String],
    path: &Path,
    is_file: impl Fn(&[String]) -> bool,
) -> Option<Vec<String>> {
    let first = path.segments.first()?;
    if first == "crate" {
        return Some(path.segments[1..].to_vec());
    }
    let leads_out = ["self", "super"].contains(&&**first);
    // Modules inside the file have no file of their own: going up through them stays here.
    let (mut base, mut inline) = (here.to_vec(), path.inline_mods);
    let mut rest = &path.segments[..];
    while let Some((word, after)) = rest.split_first() {
        match &**word {
            "self" => {}
            "super" if inline > 0 => inline -= 1,
            "super" => drop(base.pop()?),
            _ => break,
        }
        rest = after;
    }
    let to = [&base, rest].concat();
    (leads_out || is_file(&to[..=here.len()])).then_some(to)
}

/// The file that has what an absolute path names.
fn home(
    modules: &BTreeMap<Vec<String>, Module>,
    to: &[String],
    depth: usize,
) -> Option<Vec<String>> {
    let length = (1..=to.len())
        .rev()
        .find(|n| modules.contains_key(&to[..*n]))?;
    let (module, rest) = to.split_at(length);
    let Some(name) = rest.first().filter(|_| depth < 8) else {
        return Some(module.to_vec());
    };
    let is_file = |path: &[String]| modules.contains_key(path);
    let brings =
        |path: &&Path| path.is_use && path.inline_mods == 0 && path.segments.last() == Some(name);
    let handed_on = modules[module].paths.iter().filter(brings);
    for path in handed_on {
        match absolute(module, path, is_file) {
            Some(next) if next != to => {
                return home(modules, &[&next, &rest[1..]].concat(), depth + 1);
            }
            _ => {}
        }
    }
    Some(module.to_vec())
}

type Arrows = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

fn arrows(modules: &BTreeMap<Vec<String>, Module>) -> Arrows {
    let is_file = |path: &[String]| modules.contains_key(path);
    let mut arrows = Arrows::new();
    for (here, module) in modules {
        let to = arrows.entry(here.clone()).or_default();
        for path in module.paths.iter().filter(|path| !path.is_handed_on) {
            let home = absolute(here, path, is_file).and_then(|to| home(modules, &to, 0));
            let is_front = |home: &Vec<String>| home.starts_with(here) || here.starts_with(home);
            to.extend(home.filter(|home| home[0] == here[0] && !is_front(home)));
        }
    }
    arrows
}

/// Everything that can be come to from a file.
fn reach<'a>(arrows: &'a Arrows, from: &'a Vec<String>) -> BTreeSet<&'a Vec<String>> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(at) = open.pop() {
        open.extend(
            arrows
                .get(at)
                .into_iter()
                .flatten()
                .filter(|to| seen.insert(*to)),
        );
    }
    seen
}

/// Each circle as one complaint that names its files.
pub(super) fn circles(files: &[File]) -> Vec<String> {
    let modules = modules(files);
    let arrows = arrows(&modules);
    let reached: BTreeMap<_, _> = arrows
        .keys()
        .map(|from| (from, reach(&arrows, from)))
        .collect();
    let mut found = BTreeSet::new();
    for (from, to) in &reached {
        let circle = to.iter().filter(|at| reached[**at].contains(*from));
        let names: Vec<&str> = circle.map(|at| &*modules[*at].path).collect();
        if to.contains(from) {
            found.insert(names.join(", "));
        }
    }
    found.into_iter().collect()
}
