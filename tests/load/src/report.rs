//! The table, and the file of a run with its machine and raw rounds.
//!
//! A row that could not run is in the table with the reason: it is neither a hit nor left out.

use std::any::Any;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bench::Bench;
use crate::machine;
use crate::rows::Row;

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    what: String,
    reach: String,
    figure: String,
    /// `None`: the figure is not held to anything, or there is none.
    hit: Option<bool>,
    ran: bool,
}

impl Line {
    pub(crate) fn new(
        what: impl Into<String>,
        reach: &str,
        figure: impl Into<String>,
        hit: bool,
    ) -> Self {
        Self {
            what: what.into(),
            reach: reach.into(),
            figure: figure.into(),
            hit: Some(hit),
            ran: true,
        }
    }

    /// A figure beside a row's own, held to nothing.
    pub(crate) fn aside(what: impl Into<String>, figure: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            reach: "-".into(),
            figure: figure.into(),
            hit: None,
            ran: true,
        }
    }

    pub(crate) fn text(&self) -> String {
        format!(
            "| {} | {} | {} | {} |",
            self.what,
            self.reach,
            self.figure,
            self.verdict()
        )
    }

    fn verdict(&self) -> &'static str {
        match (self.ran, self.hit) {
            (false, _) => "did not run",
            (_, Some(true)) => "hit",
            (_, Some(false)) => "MISS",
            (_, None) => "note",
        }
    }
}

/// The line of a row that panicked.
pub(crate) fn failed(row: &Row, panic: &(dyn Any + Send)) -> Vec<Line> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let reason = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic");
    let line = Line {
        ran: false,
        ..Line::aside(row.about, reason.replace(['|', '\n'], " "))
    };
    vec![line]
}

pub(crate) struct Report {
    machine: Vec<String>,
    lines: Vec<Line>,
    raw: String,
}

impl Report {
    pub(crate) fn new(bench: &Bench) -> Self {
        Self {
            machine: machine::describe(&bench.binary),
            lines: Vec::new(),
            raw: String::new(),
        }
    }

    pub(crate) fn add(&mut self, name: &str, lines: Vec<Line>, raw: Vec<String>, took: Duration) {
        self.lines.extend(lines);
        writeln!(self.raw, "\n### {name} ({:.0} s)\n", took.as_secs_f64()).unwrap();
        for line in raw {
            writeln!(self.raw, "- {line}").unwrap();
        }
    }

    pub(crate) fn all_ran(&self) -> bool {
        self.lines.iter().all(|line| line.ran)
    }

    pub(crate) fn table(&self) -> String {
        let mut text = String::from("| figure | reach | measured | |\n|---|---|---|---|\n");
        for line in &self.lines {
            writeln!(text, "{}", line.text()).unwrap();
        }
        text
    }

    pub(crate) fn write(&self, bench: &Bench, took: Duration) -> std::io::Result<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("runs");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.md", machine::date()));
        let command: Vec<String> = std::env::args().skip(1).map(without_folder).collect();
        let text = format!(
            "# A run of the load bench\n\n{}\n- command: load {}\n- rounds: {} (two more of the backlogs), took {:.0} s\n\n{}\n## Raw rounds\n{}",
            self.machine.join("\n"),
            command.join(" "),
            bench.options.rounds,
            took.as_secs_f64(),
            self.table(),
            self.raw
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

/// Where things lie on the machine of a run says nothing to those who read it.
fn without_folder(argument: String) -> String {
    argument.rsplit('/').next().unwrap_or_default().to_owned()
}
