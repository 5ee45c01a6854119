//! The test of the house: imports point down, each outside crate has one home, files are short and
//! say what they are for, SQLite alone opens databases, names say something, the top level is tidy.
//!
//! It reads the source as text (`floors/source.rs`), so it needs no build of what it judges and
//! judges code under any `cfg`. Each rule is a function from files to complaints, and has a snippet
//! below that it must complain of. Left out: what clippy and rustc can say better.

mod circles;
mod crates;
mod snippets;
mod source;

use std::fmt::Write as _;
use std::path::Path as FsPath;
use std::process::Command;

use crate::support::need;
use crates::{DATABASES, HOMES};
use source::{Path, Token};

/// The floors, by top-level module. Imports go to a lower floor only; `daemon` alone may also use
/// `api`, beside it.
const FLOORS: [(&str, u8); 14] = [
    ("model", 0),
    ("dialect", 1),
    ("filter", 1),
    ("postgres", 1),
    ("config", 2),
    ("outbox", 2),
    ("store", 2),
    ("transport", 2),
    ("pipeline", 3),
    ("query", 4),
    ("page", 5),
    ("api", 6),
    ("daemon", 6),
    ("cli", 7),
];

const MAX_LINES: usize = 500;

/// Where a database file may be made, with its mode, before SQLite opens it.
const CREATORS: [&str; 2] = ["src/store/create.rs", "src/outbox/create.rs"];

/// Where a rollback journal is read: SQLite never locks it, so closing it drops no lock.
const JOURNAL_READER: &str = "src/outbox/journal.rs";

const EMPTY_NAMES: &str = "manager helper util task job handler";

/// A file of the house: its path from the top, with `/`, and its text.
#[derive(Clone, Debug)]
struct File {
    path: String,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// `["store", "queue"]` for `src/store/queue.rs`; `mod.rs`, `lib.rs` and `main.rs` add nothing.
    fn module(&self) -> Vec<&str> {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let inner = inner.strip_suffix(".rs").unwrap_or(inner);
        let mut names: Vec<&str> = inner.split('/').collect();
        names.pop_if(|last| *last == "mod");
        if names == ["lib"] || names == ["main"] {
            names.clear();
        }
        names
    }

    /// Whether the file is `src/PLACE.rs` or inside `src/PLACE/`.
    fn is_in(&self, place: &str) -> bool {
        self.path.strip_prefix("src/").is_some_and(|inner| {
            inner
                .strip_prefix(place)
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    }

    fn tokens(&self) -> Vec<Token> {
        source::tokens(&self.text)
    }
}

fn floor(module: &str) -> Option<u8> {
    let found = FLOORS.iter().find(|(name, _)| *name == module);
    found.map(|(_, floor)| *floor)
}

/// The path from the crate's root, for one that begins with `crate` or leaves the file by `super`.
fn from_root<'a>(file: &File, path: &'a Path) -> Option<&'a [String]> {
    let mut rest = &path.segments[..];
    if rest.first()? == "crate" {
        return Some(&rest[1..]);
    }
    let mut depth = file.module().len() + path.inline_mods;
    while let Some((first, after)) = rest.split_first() {
        match &**first {
            "self" => {}
            "super" => depth = depth.checked_sub(1)?,
            _ => break,
        }
        rest = after;
    }
    (depth == 0 && rest.len() < path.segments.len()).then_some(rest)
}

fn upward_imports(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let Some(here) = file.module().first().copied() else {
            continue;
        };
        let Some(here_floor) = floor(here) else {
            found.push(format!("{}: `{here}` has no floor", file.path));
            continue;
        };
        for path in source::paths(&file.tokens()) {
            let Some(there) = from_root(file, &path).and_then(<[String]>::first) else {
                continue;
            };
            let (path_text, line) = (path.segments.join("::"), path.line);
            let complaint = match floor(there) {
                _ if there == here => continue,
                _ if (here, &**there) == ("daemon", "api") => continue,
                _ if (here, &**there) == ("page", "pipeline") => "is none of a reader's affairs",
                Some(floor) if floor < here_floor => continue,
                Some(_) => "points up or sideways",
                None => "leads to no floor",
            };
            found.push(format!("{}:{line}: {path_text} {complaint}", file.path));
        }
    }
    found
}

fn strayed_crates(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for path in source::paths(&file.tokens()) {
            let first = &*path.segments[0];
            let homes = HOMES.iter().find(|(name, _)| *name == first);
            let Some((_, homes)) = homes.filter(|_| path.is_use || path.segments.len() > 1) else {
                continue;
            };
            if !homes.iter().any(|home| file.is_in(home)) {
                let (place, line) = (&file.path, path.line);
                let homes = homes.join(", ");
                found.push(format!("{place}:{line}: {first} lives in {homes} only"));
            }
        }
    }
    found
}

fn long_or_silent_files(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for File { path, text } in files {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            found.push(format!(
                "{path}: {lines} lines; split it by noun, at most {MAX_LINES}"
            ));
        }
        if !text.starts_with("//!") {
            found.push(format!(
                "{path}: does not begin with //! and what it is for"
            ));
        }
    }
    found
}

/// Whether a path leads to something that opens a file, or hides that it might.
fn opens(path: &Path) -> bool {
    let opening = "File OpenOptions read read_to_string write copy hard_link open openat";
    let is_opening = |word: &str| opening.split(' ').any(|o| o == word);
    let of_fs = path
        .segments
        .windows(2)
        .any(|pair| pair[0] == "fs" && (is_opening(&pair[1]) || pair[1] == "*" && path.is_use));
    let starts = |word: &str| path.segments.len() > 1 && path.segments[0] == word;
    let alias = path.is_use && path.renamed && path.segments.last().is_some_and(|s| s == "fs");
    of_fs || alias || starts("File") || starts("tempfile") || has_word(path, "OpenOptions")
}

fn has_word(path: &Path, word: &str) -> bool {
    path.segments.iter().any(|segment| segment == word)
}

/// Whether a path of a creator may be there: what makes a file anew, or opens a folder.
fn is_creating(path: &Path) -> bool {
    has_word(path, "OpenOptions")
        || path.segments[0] == "tempfile"
        || !path.is_use
            && path
                .segments
                .ends_with(&["fs".to_owned(), "open".to_owned()])
}

/// Whether all that a creator does with files is to make them anew, and to open folders.
fn only_creates(tokens: &[Token]) -> bool {
    let words: Vec<&str> = tokens.iter().map(|t| &*t.text).collect();
    let count = |sought: &[&str]| words.windows(sought.len()).filter(|w| *w == sought).count();
    let asks = count(&["OpenOptions", "::", "new", "("]);
    let anew = count(&[".", "create_new", "(", "true", ")"]);
    let calls = |name| count(&[".", name, "("]);
    let flag = |name| count(&["OFlags", "::", name]);
    asks == anew
        && count(&["fs", "::", "open", "("]) == flag("EXCL") + flag("DIRECTORY")
        && calls("create") + calls("truncate") + calls("append") == 0
}

/// Whether a path of the journal's reader may be there.
fn is_reading(path: &Path) -> bool {
    !path.is_use && path.segments == ["rustix", "fs", "open"]
}

/// Whether all that the journal's reader does with files is to open one, to read it.
fn only_reads(tokens: &[Token]) -> bool {
    let words: Vec<&str> = tokens.iter().map(|t| &*t.text).collect();
    let count = |sought: &[&str]| words.windows(sought.len()).filter(|w| *w == sought).count();
    let flag = |name| count(&["OFlags", "::", name]);
    count(&["fs", "::", "open", "("]) == 1
        && flag("RDONLY") == 1
        && flag("RDWR") + flag("WRONLY") + flag("CREATE") + flag("TRUNC") == 0
}

fn databases_opened_by_hand(files: &[File]) -> Vec<String> {
    let of_database = |f: &&File| DATABASES.iter().any(|module| f.is_in(module));
    let tests: Vec<String> = files
        .iter()
        .filter(of_database)
        .flat_map(test_files)
        .collect();
    let mut found = Vec::new();
    for file in files.iter().filter(of_database) {
        let module = file.module().join("/");
        let is_test = |test: &String| module == *test || module.starts_with(&format!("{test}/"));
        if tests.iter().any(is_test) {
            continue;
        }
        let tokens = source::without_tests(&file.tokens());
        let creates = CREATORS.contains(&&*file.path) && only_creates(&tokens);
        let reads = file.path == JOURNAL_READER && only_reads(&tokens);
        for path in source::paths(&tokens).iter().filter(|p| opens(p)) {
            if !(creates && is_creating(path) || reads && is_reading(path)) {
                let text = path.segments.join("::");
                found.push(format!("{}:{}: {text}", file.path, path.line));
            }
        }
    }
    found
}

/// The modules that a file declares under `#[cfg(test)]` and keeps in files of their own.
fn test_files(file: &File) -> Vec<String> {
    let module = file.module().join("/");
    let names = source::test_modules(&file.tokens()).into_iter();
    names.map(|name| format!("{module}/{name}")).collect()
}

fn empty_names(files: &[File]) -> Vec<String> {
    let says_nothing = |name: &str| {
        name.split(['_', '-']).any(|word| {
            let one = word.strip_suffix('s').unwrap_or(word);
            EMPTY_NAMES.split(' ').any(|empty| empty == one)
        })
    };
    let mut found = Vec::new();
    for file in files {
        let parts = file.path.split('/').map(|p| p.trim_end_matches(".rs"));
        if parts.clone().any(says_nothing) {
            found.push(format!("{}: the name says nothing", file.path));
        }
        let tokens = file.tokens();
        for name in source::declared_modules(&tokens) {
            if says_nothing(&name.text) {
                let (place, line, name) = (&file.path, name.line, &name.text);
                found.push(format!("{place}:{line}: `mod {name}` says nothing"));
            }
        }
    }
    found
}

/// What lies at the top and should not, of paths as `git ls-files` lists them.
fn strays(paths: &str) -> Vec<String> {
    let known = "Cargo.toml Cargo.lock src webhooks.toml tests packaging findings deny.toml build.rs \
                 README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md SECURITY.md";
    let mut tops: Vec<&str> = paths
        .lines()
        .map(|path| path.split('/').next().unwrap_or(path))
        .filter(|top| !top.starts_with('.') && !top.starts_with("LICENSE"))
        .filter(|top| !known.split(' ').any(|name| name == *top))
        .collect();
    tops.dedup();
    tops.into_iter().map(str::to_owned).collect()
}

/// Every Rust file under a folder of the top level, sorted by path, but for what cargo makes: the bench
/// and the fuzzers are packages of their own, and build beside their sources.
fn files_of(folder: &str) -> Vec<File> {
    let top = FsPath::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![top.join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(top).unwrap().to_str().unwrap();
                files.push(File::new(name, &text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!files.is_empty(), "no Rust file in {folder}");
    files
}

fn house() -> Vec<File> {
    let files = files_of("src");
    for sure in ["src/lib.rs", "src/main.rs", "src/model/mod.rs"] {
        assert!(files.iter().any(|f| f.path == sure), "{sure} was not read");
    }
    files
}

#[track_caller]
fn none(complaints: &[String], why: &str) {
    let mut list = String::new();
    for complaint in complaints {
        writeln!(list, "  {complaint}").unwrap();
    }
    assert!(complaints.is_empty(), "{why}\n{list}");
}

#[test]
fn imports_point_down() {
    none(
        &upward_imports(&house()),
        "an import may only point to a lower floor (src/lib.rs)",
    );
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    none(
        &circles::circles(&house()),
        "files of a module import each other in one direction: what both need lies in a third file",
    );
}

#[test]
fn outside_crates_stay_at_home() {
    none(
        &strayed_crates(&house()),
        "an outside crate has one home (src/lib.rs)",
    );
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let all = [house(), files_of("tests")].concat();
    none(
        &long_or_silent_files(&all),
        "a file is read from top to bottom",
    );
}

#[test]
fn databases_are_opened_by_sqlite_alone() {
    none(
        &databases_opened_by_hand(&house()),
        "closing any descriptor of a database drops all POSIX locks that the process holds on it, \
         and the next reader then deletes the live WAL: stat by path, or create anew in create.rs",
    );
}

#[test]
fn names_say_something() {
    let all = [house(), files_of("tests")].concat();
    none(
        &empty_names(&all),
        "name a file by its noun (model, store) or its verb (pipeline)",
    );
}

#[test]
fn the_top_level_is_tidy() {
    if !need("git") {
        return;
    }
    let git = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let Some(list) = git.ok().filter(|output| output.status.success()) else {
        println!("SKIPPED: an unpacked release has no list of its files to judge");
        return;
    };
    let list = String::from_utf8(list.stdout).unwrap();
    none(
        &strays(&list),
        "the top level holds what its users expect and no more",
    );
}
