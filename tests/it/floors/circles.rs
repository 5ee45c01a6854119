//! Whether the files of a module import each other in a circle.
//!
//! A file imports another when a path of its product code leads to a name that the other one
//! defines: a name that a file only passes on, by `use`, is looked for where it comes from, so a
//! parent may pass on what its children define. Left out: what lies under `#[cfg(test)]`,
//! and what only rustc can see (globs, macros, methods).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::source::{self, Path};
use super::{File, from_root, test_files};

/// How often a name may be passed on before the search for it ends.
const MAX_PASSED_ON: usize = 8;

/// The files of one top-level module, with their paths.
struct Module<'a> {
    files: Vec<&'a File>,
    paths: Vec<Vec<Path>>,
    by_name: BTreeMap<Vec<&'a str>, usize>,
}

impl<'a> Module<'a> {
    fn new(files: Vec<&'a File>) -> Self {
        let product = |file: &&File| source::paths(&source::without_tests(&file.tokens()));
        let named = files.iter().enumerate().map(|(at, f)| (f.module(), at));
        Self {
            by_name: named.collect(),
            paths: files.iter().map(product).collect(),
            files,
        }
    }

    /// The path as it is from the crate's root, read in the file `at`.
    fn absolute(&self, at: usize, path: &Path) -> Option<Vec<String>> {
        let file = self.files[at];
        if let Some(rest) = from_root(file, path) {
            return Some(rest.to_vec());
        }
        let mut base: Vec<String> = file.module().iter().map(|&s| s.to_owned()).collect();
        let mut rest = &path.segments[..];
        // Inside an inline module the first `super` leads to the file itself.
        let mut inline = path.inline_mods;
        while let Some((first, after)) = rest.split_first() {
            match &**first {
                "self" => {}
                "super" if inline > 0 => inline -= 1,
                "super" => drop(base.pop()?),
                _ => break,
            }
            rest = after;
        }
        // A path that begins with a name leads to a child of the file, or somewhere that another
        // path names; a name alone may be a declaration, or anything. `super` alone is a visibility.
        let is_bare = rest.len() == path.segments.len();
        if is_bare && rest.len() == 1 || rest.is_empty() {
            return None;
        }
        base.extend_from_slice(rest);
        let is_child = || self.file_of(&base[..=file.module().len()]).is_some();
        (!is_bare || is_child()).then_some(base)
    }

    fn file_of(&self, name: &[String]) -> Option<usize> {
        let name: Vec<&str> = name.iter().map(|s| &**s).collect();
        self.by_name.get(&name).copied()
    }

    /// The file that defines what a path from the root leads to.
    fn definer(&self, path: &[String], left: usize) -> Option<usize> {
        let depth = (1..=path.len())
            .rev()
            .find(|n| self.file_of(&path[..*n]).is_some())?;
        let at = self.file_of(&path[..depth])?;
        let Some(name) = path.get(depth).filter(|_| left > 0) else {
            return Some(at);
        };
        let passes_on = |p: &&Path| {
            p.is_use && p.inline_mods == 0 && !p.renamed && p.segments.last() == Some(name)
        };
        let source = self.paths[at].iter().find(passes_on);
        let Some(source) = source.and_then(|p| self.absolute(at, p)) else {
            return Some(at);
        };
        self.definer(&source, left - 1)
    }

    /// For each file, the files that it imports and the line where it first does.
    fn imports(&self) -> Vec<BTreeMap<usize, usize>> {
        let of_file = |at: usize| {
            let mut imports = BTreeMap::new();
            for path in self.paths[at].iter().filter(|p| !p.is_passed_on) {
                let there = self.absolute(at, path);
                let there = there.and_then(|there| self.definer(&there, MAX_PASSED_ON));
                if let Some(there) = there.filter(|there| *there != at) {
                    imports.entry(there).or_insert(path.line);
                }
            }
            imports
        };
        (0..self.files.len()).map(of_file).collect()
    }
}

/// The shortest way from `start` back to itself.
fn shortest_circle(imports: &[BTreeMap<usize, usize>], start: usize) -> Option<Vec<usize>> {
    let mut from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(here) = queue.pop_front() {
        for &there in imports[here].keys() {
            if there == start {
                let mut way = vec![here];
                while let Some(&before) = way
                    .last()
                    .filter(|w| **w != start)
                    .and_then(|w| from.get(w))
                {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            from.entry(there).or_insert_with(|| {
                queue.push_back(there);
                here
            });
        }
    }
    None
}

/// The circles among the files of each module, one complaint for each shortest circle.
pub(super) fn circles(files: &[File]) -> Vec<String> {
    let mut modules: BTreeMap<&str, Vec<&File>> = BTreeMap::new();
    let tests: BTreeSet<String> = files.iter().flat_map(test_files).collect();
    for file in files {
        let module = file.module();
        let is_test = (1..=module.len()).any(|n| tests.contains(&module[..n].join("/")));
        if let Some(&name) = module.first().filter(|_| !is_test) {
            modules.entry(name).or_default().push(file);
        }
    }
    let mut found = Vec::new();
    for files in modules.into_values() {
        let module = Module::new(files);
        let imports = module.imports();
        for start in 0..imports.len() {
            let Some(way) = shortest_circle(&imports, start) else {
                continue;
            };
            // Each circle is told once: by the first of its files.
            if way.iter().any(|other| *other < start) {
                continue;
            }
            let next = way.iter().cycle().skip(1);
            let steps = way.iter().zip(next).map(|(here, there)| {
                format!("{}:{}", module.files[*here].path, imports[*here][there])
            });
            let steps: Vec<String> = steps.collect();
            found.push(format!("{}, a circle", steps.join(" -> ")));
        }
    }
    found
}
