//! What the commands print, to the byte: each snapshot is a file in `console/`.
//!
//! `BLESS=1 cargo test --test it console` writes the files anew; read the difference before you keep
//! it. Outbox and log are made by the program and filled here, so that times and ids are known; the daemon is a script of answers on a Unix socket. What the real daemon answers is tested
//! with the daemon.

mod asking;
mod events;
mod listening;
mod matching;
mod reading;
mod scene;

use std::fmt::Write as _;
use std::path::Path;

use scene::Scene;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/console");

/// A command that has ended.
struct Printed {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Printed {
    /// Everything, in the form of a snapshot.
    fn whole(&self) -> String {
        let mut text = self.stdout.clone();
        if !self.stderr.is_empty() {
            write!(text, "-- stderr\n{}", self.stderr).unwrap();
        }
        if self.code != Some(0) {
            writeln!(text, "-- exit code {:?}", self.code.unwrap()).unwrap();
        }
        text
    }
}

/// Holds that the text is that of the file; with `BLESS` in the environment it becomes it.
#[track_caller]
fn same(name: &str, text: &str) {
    let file = Path::new(FOLDER).join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, text).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, wanted, "{name}");
}

/// Holds that the command prints what the file says, whatever the width is.
#[track_caller]
fn prints(scene: &Scene, name: &str, arguments: &[&str], columns: Option<usize>) {
    let printed = scene.run(arguments, columns);
    if let Some(columns) = columns {
        // A path is told whole.
        let lines = printed
            .stdout
            .lines()
            .filter(|line| !line.contains(".sock"));
        for line in lines {
            let width = line.chars().count();
            assert!(width <= columns, "{width} of {columns}: {line}");
        }
    }
    let raw = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!printed.stdout.contains(raw), "{:?}", printed.stdout);
    assert!(!printed.stderr.contains(raw), "{:?}", printed.stderr);
    same(name, &scene.plain(&printed.whole()));
}
