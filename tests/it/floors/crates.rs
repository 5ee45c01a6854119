//! The homes of outside crates: whether each crate that the program is built with has one, and each home
//! a crate.

use std::collections::BTreeSet;
use std::path::Path;

pub(super) const DATABASES: &[&str] = &["outbox", "store"];
/// `cli/demo` and `cli/receiver` serve HTTP: the receivers that a developer tries things out with. The
/// client's tests ask hyper what it would have read.
const SERVERS: &[&str] = &["transport/tests", "api", "page", "cli/demo", "cli/receiver"];
const TLS: &[&str] = &["transport", "postgres/tls"];

/// Outside crates and the only places that may know them: folders or files of `src`.
pub(super) const HOMES: [(&str, &[&str]); 36] = [
    ("rusqlite", DATABASES),
    ("hyper", SERVERS),
    ("hyper_util", SERVERS),
    ("http_body_util", SERVERS),
    (
        "http",
        &[
            "transport/tests",
            "api",
            "cli/demo",
            "cli/receiver",
            "model/caller",
            "model/url",
        ],
    ),
    ("httparse", &["transport/http1"]),
    // A delivery has a dozen numbers: `to_string` makes a text of its own for each.
    ("itoa", &["dialect", "cli/journal/text"]),
    ("rustls", TLS),
    ("tokio_rustls", TLS),
    ("rustls_native_certs", TLS),
    ("flate2", &["transport"]),
    ("dns_lookup", &["transport"]),
    ("toml", &["config"]),
    ("maud", &["page"]),
    ("memchr", &["filter"]),
    ("hmac", &["dialect"]),
    // The server's certificate is hashed, to bind a password to it.
    ("sha2", &["dialect", "postgres/binding"]),
    (
        "tokio_postgres",
        &["postgres", "outbox/postgres", "store/postgres"],
    ),
    ("ureq", &["cli"]),
    ("unicode_width", &["cli/text"]),
    ("sd_notify", &["daemon"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("tracing", &["pipeline", "api", "daemon", "cli", "main"]),
    ("tracing_subscriber", &["cli", "main"]),
    ("listenfd", &["daemon"]),
    ("nix", &["daemon", "cli/rights"]),
    (
        "parking_lot",
        &[
            "transport",
            "store",
            "pipeline",
            "query",
            "page",
            "api",
            "daemon",
            "cli",
        ],
    ),
    (
        "rustix",
        &[
            "outbox",
            "daemon",
            "store",
            "transport",
            "cli",
            "model/alarm",
            "model/crash",
        ],
    ),
    // In `dialect` by a test alone: its own arithmetic against jiff's.
    ("jiff", &["dialect", "model", "cli"]),
    (
        "bytes",
        &[
            "model",
            "dialect",
            "store",
            "transport",
            "pipeline",
            "api",
            "page",
            "cli",
        ],
    ),
    ("serde", &["filter", "outbox", "query", "api", "cli"]),
    (
        "serde_json",
        &[
            "dialect",
            "filter",
            "outbox",
            "transport",
            "pipeline",
            "query",
            "page",
            "api",
            "page",
            "cli",
        ],
    ),
    (
        "tokio",
        &[
            "model",
            "outbox",
            "postgres",
            "transport",
            "pipeline",
            "query",
            "api",
            "page",
            "daemon",
            "cli",
        ],
    ),
    // Everywhere but in `cli` by tests alone.
    (
        "tempfile",
        &[
            "config", "outbox", "store", "pipeline", "page", "daemon", "cli",
        ],
    ),
];

/// The crates of the section `[dependencies]`, as a path names them.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or("");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split_once(" = "));
    names.map(|(name, _)| name.replace('-', "_")).collect()
}

#[test]
fn each_outside_crate_has_a_home() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let known: BTreeSet<String> = HOMES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(dependencies(&manifest), known);
}

/// The rows of the table in `src/lib.rs`: modules, and the crates that are said to live there.
fn rows(library: &str) -> Vec<(Vec<String>, BTreeSet<String>)> {
    let cell = |text: &str| -> Vec<String> {
        let names = text.split(',').map(|name| name.trim().trim_matches('`'));
        let names = names.filter(|name| !name.is_empty());
        names.map(|name| name.replace('-', "_")).collect()
    };
    let lines = library
        .lines()
        .filter_map(|line| line.strip_prefix("//! |"));
    let cells = lines.map(|line| line.split('|').collect::<Vec<_>>());
    cells
        .filter(|cells| cells[0].trim().parse::<u8>().is_ok())
        .map(|cells| (cell(cells[1]), cell(cells[3]).into_iter().collect()))
        .collect()
}

#[test]
fn the_map_says_where_each_crate_lives() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let rows = rows(&std::fs::read_to_string(library).unwrap());
    assert_eq!(
        rows.iter().map(|(modules, _)| modules.len()).sum::<usize>(),
        14
    );
    for (modules, said) in rows {
        let lives = |home: &&str| {
            let module = home.split('/').next().unwrap();
            !home.ends_with("/tests") && modules.iter().any(|name| name == module)
        };
        let homes = HOMES.iter().filter(|(_, homes)| homes.iter().any(lives));
        let homes: BTreeSet<String> = homes.map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(said, homes, "{modules:?}");
    }
}
