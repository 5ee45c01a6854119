//! Snippets that the rules of the house must complain of, and ones that they must let pass: the
//! test of the test. A rule without a failing snippet here could be broken and nobody would see.

use super::source::{paths, test_modules, tokens, without_tests};
use super::*;

fn complains(rule: fn(&[File]) -> Vec<String>, path: &str, text: &str) -> bool {
    !rule(&[File::new(path, text)]).is_empty()
}

fn words(text: &str) -> String {
    let tokens = tokens(text);
    let words: Vec<&str> = tokens.iter().map(|t| &*t.text).collect();
    words.join(" ")
}

fn all_paths(text: &str) -> Vec<String> {
    let paths = paths(&tokens(text));
    paths.iter().map(|p| p.segments.join("::")).collect()
}

#[test]
fn comments_strings_and_characters_are_no_words() {
    assert_eq!(words("a // b\nc /* d /* e */ f */ g"), "a c g");
    assert_eq!(words(r#"a "b \" // c" d"#), "a d");
    assert_eq!(words("a r#\"b \" c\"# d br\"e\\\" f b\"g\" h"), "a d f h");
    assert_eq!(words(r"a 'b' c '\'' d b'e' f '\u{41}' g"), "a c d f g");
    assert_eq!(words("a<'b> '\"' c"), "a < b > c");
    assert_eq!(words("r#mod a::b"), "mod a :: b");
    assert_eq!(words("\"open"), "");
    assert_eq!(words("/* open"), "");
    assert_eq!(words("r##\"open"), "");
    let lines: Vec<usize> = tokens("a\n\"\n\"\nb /*\n*/ c")
        .iter()
        .map(|t| t.line)
        .collect();
    assert_eq!(lines, [1, 4, 5]);
}

#[test]
fn groups_are_taken_apart() {
    let paths = all_paths("use crate::{a, b::{self, c as d}, e::*}; f::<u8>(); ::g::h");
    let all = "crate::a crate::b::self crate::b::c crate::e::* f u8 g::h";
    assert_eq!(paths.join(" "), all);
    assert_eq!(
        all_paths("fn f(x: &mut ::b::c) {}").join(" "),
        "fn f x b::c"
    );
    assert!(all_paths("use a::{").is_empty());
}

#[test]
fn test_code_is_known() {
    let rest = |text| {
        let tokens = without_tests(&tokens(text));
        tokens
            .iter()
            .map(|t| t.text.clone())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(rest("a; #[cfg(test)] mod t { { b } } c"), "a ; c");
    assert_eq!(rest("#[cfg(test)] #[path = \"x\"] use b::c; d"), "d");
    assert_eq!(rest("#[cfg(test)] pub fn f<A, B>(x: [u8; 3]) { b } c"), "c");
    assert_eq!(rest("S { #[cfg(test)] pub a: u8, b: c }"), "S { b : c }");
    assert_eq!(
        rest("#[cfg(not(test))] mod a;"),
        "# [ cfg ( not ( test ) ) ] mod a ;"
    );
    let found = test_modules(&tokens(
        "mod a; #[cfg(test)] pub(crate) mod b; #[cfg(test)] mod c {}",
    ));
    assert_eq!(found, ["b"]);
}

#[test]
fn imports_that_point_up_or_sideways() {
    for (path, text) in [
        ("src/model/event.rs", "use crate::dialect::body;"),
        ("src/dialect/mod.rs", "fn f() { crate::store::open() }"),
        (
            "src/store/mod.rs",
            "use crate::{model::Event, outbox::Tail};",
        ),
        ("src/store/queue.rs", "use super::super::transport::X;"),
        (
            "src/store/mod.rs",
            "mod tests { use super::super::outbox; }",
        ),
        ("src/config.rs", "use super::{store};"),
        ("src/config/a/b.rs", "use self::super::super::super::cli;"),
        ("src/pipeline/mod.rs", "type X = Vec<crate::api::X>;"),
        ("src/api/mod.rs", "use crate::daemon::X;"),
        ("src/daemon.rs", "use crate::cli;"),
        ("src/page/look.rs", "use crate::pipeline::chain;"),
        ("src/page/mod.rs", "use crate::api::Api;"),
        (
            "src/outbox/mod.rs",
            "macro_rules! m { () => { $crate::store::x() } }",
        ),
        ("src/cli/mod.rs", "use crate::VERSION;"),
        ("src/extra.rs", ""),
        ("src/extra/mod.rs", "use crate::model::Event;"),
    ] {
        assert!(complains(upward_imports, path, text), "{path} {text}");
    }
}

#[test]
fn imports_that_are_right() {
    for (path, text) in [
        (
            "src/cli/run.rs",
            "use crate::{daemon, api, pipeline, model}; use super::X;",
        ),
        ("src/daemon.rs", "use crate::api::serve;"),
        ("src/page/look.rs", "use crate::{query, store};"),
        (
            "src/store/a.rs",
            "use crate::store::b; use super::outbox; use self::cli::X;",
        ),
        (
            "src/store/mod.rs",
            "mod tests { use super::outbox; use super::*; }",
        ),
        (
            "src/model/mod.rs",
            "//! crate::cli\n// crate::cli\nconst A: &str = \"crate::cli\";",
        ),
        (
            "src/model/mod.rs",
            "pub(crate) fn f() {} pub(in crate::model) fn g() {}",
        ),
        ("src/lib.rs", "use crate::cli;"),
        ("src/main.rs", "use webhooksd::cli;"),
    ] {
        assert!(!complains(upward_imports, path, text), "{path} {text}");
    }
}

#[test]
fn crates_away_from_home() {
    for (path, text) in [
        ("src/cli/logs.rs", "use rusqlite::Connection;"),
        ("src/cli/logs.rs", "fn f(c: &::rusqlite::Connection) {}"),
        ("src/pipeline/mod.rs", "use {rusqlite::X, std::fmt};"),
        ("src/pipeline/mod.rs", "use hyper;"),
        ("src/pipeline/mod.rs", "use hyper as h;"),
        ("src/pipeline/mod.rs", "use ::hyper;"),
        ("src/model/webhook.rs", "fn f(u: http::Uri) {}"),
        ("src/cli/demos.rs", "use http_body_util::Full;"),
        ("src/store/mod.rs", "tracing::info!(\"x\");"),
        ("src/transport/mod.rs", "#[derive(clap::Parser)] struct A;"),
        ("src/config/mod.rs", "use jiff::Timestamp;"),
        ("src/main.rs", "use toml::Table;"),
    ] {
        assert!(complains(strayed_crates, path, text), "{path} {text}");
    }
    for (path, text) in [
        ("src/store/queue.rs", "use rusqlite::Connection;"),
        ("src/model/url.rs", "use http::Uri;"),
        ("src/cli/demo.rs", "use hyper::server;"),
        ("src/cli/receiver/mod.rs", "use hyper_util::rt;"),
        (
            "src/cli/check.rs",
            "let toml = read(); let http = toml.len(); // rusqlite::X",
        ),
        (
            "src/cli/run.rs",
            "use crate::config::toml::X; use super::http::Y;",
        ),
        ("src/main.rs", "use tracing_subscriber::fmt;"),
    ] {
        assert!(!complains(strayed_crates, path, text), "{path} {text}");
    }
}

#[test]
fn files_that_are_long_or_silent() {
    let rule = long_or_silent_files;
    assert!(complains(rule, "src/a.rs", "fn a() {}"));
    assert!(complains(rule, "src/a.rs", "// For what.\n"));
    assert!(complains(rule, "src/a.rs", &"//! x\n".repeat(501)));
    assert!(!complains(rule, "src/a.rs", &"//! x\n".repeat(500)));
}

#[test]
fn databases_that_are_opened_by_hand() {
    for text in [
        "fn f() { std::fs::File::open(p); }",
        "use std::fs::File;",
        "use std::fs::{self, File};",
        "use std::fs::{metadata, read_to_string as r};",
        "fn f() { File::open(p); }",
        "fn f() { fs::read(p); }",
        "fn f() { tokio::fs::write(p, b).await; }",
        "fn f() { rustix::fs::open(p, o, m); }",
        "use std::fs as disk;",
        "use std::{fs as disk};",
        "use std::fs::*;",
        "fn f() { tempfile::tempfile_in(p); }",
        "use tempfile::NamedTempFile;",
        "fn f() { std::fs::OpenOptions::new().create_new(true).open(p); }",
        "#[cfg(not(test))] fn f() { fs::copy(a, b); }",
    ] {
        let rule = databases_opened_by_hand;
        assert!(complains(rule, "src/store/queue.rs", text), "{text}");
        assert!(complains(rule, "src/outbox.rs", text), "{text}");
        assert!(!complains(rule, "src/config/mod.rs", text), "{text}");
    }
    for text in [
        "fn f() { std::fs::metadata(p); fs::remove_file(p); fs::read_dir(p); }",
        "use std::fs; use std::fs::Metadata; use rusqlite::OpenFlags; // fs::read(p)",
        "#[cfg(test)] mod tests { use std::fs::File; fn f() { fs::read(p); } }",
        "enum Kind { File, Folder } fn f() -> Kind { Kind::File }",
    ] {
        let rule = databases_opened_by_hand;
        assert!(!complains(rule, "src/store/queue.rs", text), "{text}");
    }
}

#[test]
fn a_rollback_journal_is_read_in_one_place_and_nothing_else() {
    let rule = databases_opened_by_hand;
    let fine = "fn f() { rustix::fs::open(journal, OFlags::RDONLY | OFlags::CLOEXEC, m); }";
    assert!(!complains(rule, JOURNAL_READER, fine));
    assert!(complains(rule, "src/outbox/tail.rs", fine));
    for bad in [
        &fine.replace("RDONLY", "RDWR"),
        &fine.replace("CLOEXEC", "CREATE"),
        &fine.repeat(2),
        &format!("{fine} fn g() {{ std::fs::File::open(p); }}"),
    ] {
        assert!(complains(rule, JOURNAL_READER, bad), "{bad}");
    }
}

#[test]
fn test_modules_in_files_of_their_own_may_open() {
    let parent = File::new("src/store/mod.rs", "#[cfg(test)] mod tests; mod queue;");
    let opening = "use std::fs::File;";
    for path in ["src/store/tests.rs", "src/store/tests/old.rs"] {
        let files = [parent.clone(), File::new(path, opening)];
        assert_eq!(databases_opened_by_hand(&files), [""; 0], "{path}");
    }
    for path in [
        "src/store/queue.rs",
        "src/store/tests_old.rs",
        "src/outbox/tests.rs",
    ] {
        let files = [parent.clone(), File::new(path, opening)];
        assert_eq!(databases_opened_by_hand(&files).len(), 1, "{path}");
    }
}

#[test]
fn a_database_is_created_anew_or_not_at_all() {
    let rule = databases_opened_by_hand;
    let anew = "use std::fs::OpenOptions;
        fn f() { OpenOptions::new().write(true).create_new(true).mode(0o660).open(p); }";
    for path in CREATORS {
        assert!(!complains(rule, path, anew), "{path}");
        for bad in [
            &anew.replace("create_new(true)", "create_new(false)"),
            &anew.replace("create_new", "create"),
            &anew.replace(".mode", ".truncate(true).mode"),
            &format!("{anew} fn g() {{ OpenOptions::new().read(true).open(p); }}"),
            &format!("{anew} fn g() {{ std::fs::File::open(p); }}"),
            &format!("{anew} fn g() {{ std::fs::read(p); }}"),
        ] {
            assert!(complains(rule, path, bad), "{bad}");
        }
    }
    let open =
        |flag| format!("fn f() {{ rustix::fs::open(p, OFlags::RDWR | OFlags::{flag}, m); }}");
    for fine in [
        &open("EXCL"),
        &open("DIRECTORY"),
        "fn f() { tempfile::Builder::new().tempfile_in(p); }",
    ] {
        assert!(!complains(rule, CREATORS[1], fine), "{fine}");
        assert!(complains(rule, "src/store/recreate.rs", fine), "{fine}");
    }
    let hidden = "use rustix::fs::open; fn f() { open(p, OFlags::EXCL, m); }";
    assert!(complains(rule, CREATORS[1], hidden));
    assert!(complains(rule, CREATORS[1], &open("CLOEXEC")));
    assert!(complains(rule, "src/store/recreate.rs", anew));
}

#[test]
fn names_that_say_nothing() {
    for (path, text) in [
        ("src/store/manager.rs", ""),
        ("src/utils/mod.rs", ""),
        ("tests/it/test_helpers.rs", ""),
        ("src/store/mod.rs", "mod jobs;"),
        ("src/store/mod.rs", "pub(crate) mod request_handler { }"),
    ] {
        assert!(complains(empty_names, path, text), "{path} {text}");
    }
    let fine = "//! mod task;\nmod utility; mod tasking; fn handler() {}";
    assert!(!complains(empty_names, "src/store/queue.rs", fine));
}

#[test]
fn strays_at_the_top() {
    let tidy = "Cargo.toml\nCargo.lock\nsrc/lib.rs\nwebhooks.toml\ntests/it/main.rs\npackaging/a\n\
                README.md\nLICENSE-MIT\nLICENSE-APACHE\nCHANGELOG.md\nbuild.rs\n.ci/run\n.clippy.toml";
    assert!(strays(tidy).is_empty());
    assert_eq!(
        strays("src/a\nnotes.md\ndocs/a\ndocs/b"),
        ["notes.md", "docs"]
    );
}

fn circles_of(files: &[(&str, &str)]) -> usize {
    let files: Vec<File> = files
        .iter()
        .map(|(path, text)| File::new(path, text))
        .collect();
    circles::circles(&files).len()
}

#[test]
fn files_that_import_each_other() {
    let b = ("src/outbox/b.rs", "use super::c::C;");
    for (a, c) in [
        ("use super::b::B;", "use crate::outbox::a::A;"),
        ("use super::b::B;", "fn f(a: super::a::A) {}"),
        (
            "fn f(b: crate::outbox::b::B) {}",
            "mod m { use super::super::a; }",
        ),
    ] {
        let (a, c) = (("src/outbox/a.rs", a), ("src/outbox/c.rs", c));
        assert_eq!(circles_of(&[a, b, c]), 1, "{a:?} {c:?}");
        assert_eq!(circles_of(&[a, b]), 0, "{a:?}");
    }
    let child = ("src/outbox/a.rs", "use super::Store;");
    for parent in [
        "use a::A; struct Store;",
        "struct Store; fn f() { a::open() }",
    ] {
        assert_eq!(
            circles_of(&[("src/outbox/mod.rs", parent), child]),
            1,
            "{parent}"
        );
    }
}

#[test]
fn a_name_that_is_passed_on_makes_no_circle() {
    let a = ("src/outbox/a.rs", "use super::Store;");
    let b = ("src/outbox/b.rs", "pub struct Store;");
    for parent in [
        "mod a; mod b; pub use b::Store; use a::A;",
        "mod a; mod b; use b::Store; fn f() { a::open() }",
        "mod a; pub(crate) use a::A; struct Store;",
        "mod a; struct Store; #[cfg(test)] mod tests { use super::a::A; }",
    ] {
        let parent = ("src/outbox/mod.rs", parent);
        assert_eq!(circles_of(&[parent, a, b]), 0, "{parent:?}");
    }
    // By way of what is passed on, a circle is one still.
    let b = ("src/outbox/b.rs", "use super::a::A; pub struct Store;");
    assert_eq!(
        circles_of(&[("src/outbox/mod.rs", "pub use b::Store;"), a, b]),
        1
    );
}
