//! What `webhooksd check` prints, to the byte: each `config/*.toml` beside its `.stderr`.
//!
//! `BLESS=1 cargo test --test it config_errors` writes the `.stderr` files anew; read the difference
//! before you keep it. Files whose names begin with `warning-` are accepted, all others refused. No
//! report may tell the marker that stands for a secret in these files.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where its surroundings are not as they should be"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/config");

fn check(file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_webhooksd"))
        .args(["check", "--config"])
        .arg(file.file_name().unwrap())
        .current_dir(file.parent().unwrap())
        .env_remove("CREDENTIALS_DIRECTORY")
        .output()
        .unwrap()
}

/// The files in the folder that end so, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files
}

/// The name of a case, and what is wrong with what was printed for it.
fn difference(file: &Path) -> Option<String> {
    let output = check(file);
    let name = file.file_name().unwrap().to_str().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    if printed.contains("marker-hunter2") {
        return Some(format!("{name} tells the secret:\n{printed}"));
    }
    let code = if name.starts_with("warning-") { 0 } else { 2 };
    if output.status.code() != Some(code) {
        return Some(format!("{name} ended with {}:\n{printed}", output.status));
    }
    let golden = file.with_extension("stderr");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&golden, printed).unwrap();
        return None;
    }
    let wanted = fs::read_to_string(&golden).unwrap_or_default();
    (printed != wanted).then(|| format!("{name} printed:\n{printed}\n-- but wanted:\n{wanted}"))
}

#[test]
fn every_error_is_printed_as_agreed_and_nothing_is_made() {
    let folder = Path::new(FOLDER);
    let cases = files(folder, "toml");
    assert!(cases.len() >= 15, "the cases are not in {FOLDER}");
    let differences: Vec<String> = cases.iter().filter_map(|file| difference(file)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    assert!(files(folder, "db").is_empty(), "check made a database");
    for golden in files(folder, "stderr") {
        assert!(
            golden.with_extension("toml").exists(),
            "{golden:?} is left over"
        );
    }
}

#[test]
fn the_shipped_file_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("webhooks.toml");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/webhooks.toml"), &file).unwrap();
    let output = check(&file);
    assert!(output.status.success() && output.stderr.is_empty());
    let said = String::from_utf8(output.stdout).unwrap();
    let (outbox, rest) = said.split_once('\n').unwrap();
    assert!(
        outbox.starts_with("there is no outbox at")
            && outbox.ends_with(": a start would make an empty one"),
        "{said}"
    );
    assert_eq!(rest, "webhooks.toml: 1 webhook, no errors\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_not_there_gets_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let output = check(&folder.path().join("none.toml"));
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        printed.starts_with("read configuration \"none.toml\": "),
        "{printed}"
    );
    assert!(printed.contains("\nhint: "), "{printed}");
}
