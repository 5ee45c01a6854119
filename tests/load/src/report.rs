//! The table, and the file of a run with its machine and raw rounds.
//!
//! A row that could not run is in the table with the reason: it is neither a hit nor left out.
//! Hits and misses are of the build that is measured; one that it is compared with is not judged.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bench::Bench;
use crate::drive::Measured;
use crate::figure::Series;
use crate::machine;
use crate::pairs::Ratio;
use crate::rows::Row;

pub(crate) struct Report {
    head: Vec<String>,
    columns: &'static [&'static str],
    lines: Vec<String>,
    all_ran: bool,
    raw: String,
}

impl Report {
    pub(crate) fn new(bench: &Bench) -> Self {
        let mut head = machine::describe();
        head.extend(
            bench
                .builds
                .iter()
                .map(|build| format!("- {}", build.describe())),
        );
        Self {
            head,
            columns: if bench.options.against.is_some() {
                &[
                    "row",
                    "figure",
                    "reach",
                    "this",
                    "other",
                    "this / other",
                    "",
                ]
            } else {
                &["row", "figure", "reach", "measured", ""]
            },
            lines: Vec::new(),
            all_ran: true,
            raw: String::new(),
        }
    }

    /// Adds a row; returns its lines of the table.
    pub(crate) fn add(
        &mut self,
        row: &Row,
        measured: Measured,
        raw: &[String],
        took: Duration,
    ) -> &[String] {
        let before = self.lines.len();
        match measured {
            Ok(builds) => self.lines.extend(lines(row.name, &builds)),
            Err(reason) => {
                self.all_ran = false;
                // In the first column of figures; the rest is empty.
                let rest = self.columns.len() - 5;
                let blanks = " |".repeat(rest);
                self.lines.push(format!(
                    "| {} | {} | - | {reason} |{blanks} did not run |",
                    row.name, row.about
                ));
            }
        }
        let (name, about) = (row.name, row.about);
        writeln!(
            self.raw,
            "\n### {name}: {about} ({:.0} s)\n",
            took.as_secs_f64()
        )
        .unwrap();
        for line in raw {
            writeln!(self.raw, "- {line}").unwrap();
        }
        &self.lines[before..]
    }

    pub(crate) fn all_ran(&self) -> bool {
        self.all_ran
    }

    pub(crate) fn table(&self) -> String {
        let rule = vec!["---"; self.columns.len()];
        let mut text = cells(self.columns) + "\n" + &cells(&rule).replace(' ', "") + "\n";
        for line in &self.lines {
            text += line;
            text.push('\n');
        }
        text
    }

    pub(crate) fn write(&self, took: Duration) -> std::io::Result<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("runs");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.md", machine::date()));
        let command: Vec<String> = std::env::args().skip(1).map(without_folder).collect();
        let text = format!(
            "# A run of the load bench\n\n{}\n- command: load {}\n- took {:.0} s\n\n{}\n## Raw rounds\n{}",
            self.head.join("\n"),
            command.join(" "),
            took.as_secs_f64(),
            self.table(),
            self.raw
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

/// A line for each figure of the first build, beside the second's if there are two, and for each
/// that only the second has.
fn lines(name: &str, builds: &[Vec<Series>]) -> Vec<String> {
    let (this, others) = builds.split_first().expect("a build");
    let Some(other) = others.first() else {
        let line = |series: &Series| {
            cells(&[
                name,
                series.what(),
                &series.reach(),
                &series.text(),
                verdict(series),
            ])
        };
        return this.iter().map(line).collect();
    };
    let mut lines: Vec<String> = this
        .iter()
        .map(|series| pair(name, series, find(other, series)))
        .collect();
    for series in other.iter().filter(|series| find(this, series).is_none()) {
        let (what, reach, text) = (series.what(), series.reach(), series.text());
        lines.push(cells(&[name, what, &reach, "none", &text, "-", "note"]));
    }
    lines
}

fn pair(name: &str, this: &Series, other: Option<&Series>) -> String {
    let ratio = other.and_then(|other| Ratio::of(&this.values, &other.values));
    cells(&[
        name,
        this.what(),
        &this.reach(),
        &this.text(),
        &other.map_or("none".into(), Series::text),
        &ratio.map_or("-".into(), |ratio| ratio.to_string()),
        verdict(this),
    ])
}

fn find<'a>(series: &'a [Series], same: &Series) -> Option<&'a Series> {
    series.iter().find(|series| series.what() == same.what())
}

fn verdict(series: &Series) -> &'static str {
    match series.hit() {
        Some(true) => "hit",
        Some(false) => "MISS",
        None => "note",
    }
}

fn cells(cells: &[&str]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// Where things lie on the machine of a run says nothing to those who read it.
fn without_folder(argument: String) -> String {
    argument.rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::lines;
    use crate::figure::{Figure, Series};

    fn series(values: &[f64], more: &[Figure]) -> Vec<Series> {
        let round = |value: &f64| {
            let mut figures = vec![Figure::new("CPU", *value, "µs", 1).at_most(5.0)];
            figures.extend_from_slice(more);
            figures
        };
        Series::collect(values.iter().map(round).collect())
    }

    #[test]
    fn a_line_has_the_figure_of_both_builds_and_the_ratio_of_the_pairs() {
        let only_other = Figure::new("ready", 7.0, "ms", 0);
        let builds = [
            series(&[4.0, 2.0, 6.0], &[]),
            series(&[8.0, 2.0, 10.0], &[only_other]),
        ];
        assert_eq!(
            lines("row", &builds),
            [
                "| row | CPU | ≤ 5 µs | 4.0 (2.0-6.0) µs | 8.0 (2.0-10.0) µs | 0.600 (0.500-1.000) | hit |",
                "| row | ready | - | none | 7 (7-7) ms | - | note |",
            ]
        );
    }

    #[test]
    fn a_single_build_stands_for_itself() {
        let builds = [series(&[4.0, 6.0, 8.0], &[])];
        assert_eq!(
            lines("row", &builds),
            ["| row | CPU | ≤ 5 µs | 6.0 (4.0-8.0) µs | MISS |"]
        );
    }
}
