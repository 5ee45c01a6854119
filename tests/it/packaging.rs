//! The package's texts say what is true: the manual page of the log against the log's own schema,
//! its recipes by running them, the template units against the plain ones, all units by systemd.
//!
//! Whether the package installs and runs is tried out by packaging/test, with a real systemd. The
//! page of the configuration is held by src/config/keys.rs, which has the list of keys.

use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

use crate::support::need;

const PAGE: &str = include_str!("../../packaging/man/webhooksd-log.7");

fn log() -> Connection {
    let output = Command::new(env!("CARGO_BIN_EXE_webhooksd"))
        .args(["schema", "log"])
        .output();
    let schema = String::from_utf8(output.unwrap().stdout).unwrap();
    let log = Connection::open_in_memory().unwrap();
    log.execute_batch(&schema).unwrap();
    log
}

fn names(log: &Connection, sql: &str) -> Vec<String> {
    let mut statement = log.prepare(sql).unwrap();
    let rows = statement.query_map((), |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn the_manual_page_of_the_log_has_every_column_and_no_other() {
    let log = log();
    let mut views = names(&log, "SELECT name FROM sqlite_schema WHERE type = 'view'");
    for section in PAGE.split("\n.Ss ").skip(1) {
        let (title, text) = section.split_once('\n').unwrap();
        let (kind, name) = title.split_once(' ').unwrap();
        let text = text.split("\n.Sh ").next().unwrap();
        let documented: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(".It Va "))
            .collect();
        let sql = format!("SELECT name FROM pragma_table_info('{name}')");
        assert_eq!(documented, names(&log, &sql), "{kind} {name}");
        views.retain(|view| view != name);
    }
    assert_eq!(
        views,
        Vec::<String>::new(),
        "views that the page leaves out"
    );
}

#[test]
fn the_recipes_of_the_manual_page_run() {
    let log = log();
    let webhook = "INSERT INTO webhook (name, state, created_at, since, generation, after_event_id)
      VALUES ('search-index', 'active', 0, 0, 0, 0)";
    log.execute(webhook, ()).unwrap();
    let blocks = PAGE.split("\n.Bd -literal -offset indent\n").skip(1);
    let recipes: Vec<&str> = blocks.map(|b| b.split("\n.Ed").next().unwrap()).collect();
    assert!(recipes.len() >= 8, "{recipes:?}");
    for recipe in recipes {
        log.execute_batch(recipe)
            .unwrap_or_else(|error| panic!("{error}\n{recipe}"));
    }
}

#[test]
fn the_template_units_are_the_plain_ones_but_for_names() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/units");
    for kind in ["service", "socket"] {
        let read = |name: &str| {
            let file = folder.join(format!("{name}.{kind}"));
            std::fs::read_to_string(file).unwrap()
        };
        let plain = read("webhooksd@")
            .replace(", %i\n", "\n")
            .replace("/%i.toml", "/webhooks.toml")
            .replace("@%i", "")
            .replace("/%i", "");
        assert_eq!(plain, read("webhooksd"));
    }
}

#[test]
fn the_units_are_units() {
    let (there, here) = ("/usr/bin/webhooksd", env!("CARGO_BIN_EXE_webhooksd"));
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/units");
    let folder = tempfile::tempdir().unwrap();
    for name in ["webhooksd", "webhooksd@"] {
        for kind in ["service", "socket"] {
            let text = std::fs::read_to_string(units.join(format!("{name}.{kind}"))).unwrap();
            let file = format!("{name}.{kind}");
            std::fs::write(folder.path().join(file), text.replace(there, here)).unwrap();
        }
    }
    // A machine without systemd has nobody to ask.
    if !need("systemd-analyze") {
        return;
    }
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args([
            "./webhooksd.service",
            "./webhooksd.socket",
            "./webhooksd@x.service",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(verified.stderr).unwrap();
    // A systemd before 260 does not know that word, and a later one says that no credential is in use.
    let is_ours = |line: &&str| line.contains("webhooksd") && !line.contains("RefreshOnReload");
    assert_eq!(said.lines().find(is_ours), None, "{said}");
}
