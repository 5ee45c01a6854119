//! The bench's arguments, read by hand: few enough that a parser would be the larger part.
//!
//! The hidden ones (`receiver`, `bare`, `watch`) are not here; they are for the bench itself.

use std::path::PathBuf;

use crate::rows::{self, Length, Row};

pub(crate) const HELP: &str =
    "cargo run --release --manifest-path tests/load/Cargo.toml -- [OPTIONS]
  --binary PATH      the webhooksd to measure, instead of building it
  --against PATH     another webhooksd to compare it with: every row measures both in each round,
                     in turns; the table has both values and the median of the rounds' ratios
  --rows NAME[,NAME] these rows alone (--only is the same)
  --rounds N         rounds of each row [default: 5 of the short rows, 3 of the others, 1 of the
                     long ones; with --against 5, of the long ones 3; 5 or more make a median
                     that holds]. Without --against the long rows have one in any case
  --history N        attempts in the log of the row `history` [default: 5000000]
  --quick            a tenth of the counts, shorter times, one round: to see that it works
  --folder PATH      where the databases are written; no tmpfs [default: tests/load/target]
  --list             the rows and what they are

All rows take five to ten minutes on two cores, with --against some half an hour: choose rows.";

#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) binary: Option<PathBuf>,
    pub(crate) against: Option<PathBuf>,
    pub(crate) rows: Vec<String>,
    rounds: Option<usize>,
    pub(crate) history: i64,
    pub(crate) quick: bool,
    pub(crate) folder: Option<PathBuf>,
}

impl Options {
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| row == name)
    }

    /// A short row lasts a second, and so does what disturbs it on a virtual machine: more rounds
    /// make its median a steady one. A long row's figures vary little, but one round makes no pairs.
    pub(crate) fn rounds(&self, row: &Row) -> usize {
        let pairs = self.against.is_some();
        match (self.rounds, row.length) {
            (_, Length::Long) if !pairs => 1,
            (Some(rounds), _) => rounds,
            _ if self.quick => 1,
            (None, Length::Short) => 5,
            (None, Length::Middle) if pairs => 5,
            (None, Length::Middle | Length::Long) => 3,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Wanted {
    Bench(Options),
    List,
    Help,
}

pub(crate) fn read(arguments: &[String]) -> Result<Wanted, String> {
    let mut options = Options {
        history: 5_000_000,
        ..Options::default()
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--binary" => options.binary = Some(value()?.into()),
            "--against" => options.against = Some(value()?.into()),
            "--folder" => options.folder = Some(value()?.into()),
            "--rows" | "--only" => options.rows = value()?.split(',').map(str::to_owned).collect(),
            "--rounds" => options.rounds = Some(number::<usize>(value()?)?.max(1)),
            "--history" => options.history = number(value()?)?,
            "--quick" => options.quick = true,
            "--list" => return Ok(Wanted::List),
            "--help" | "-h" => return Ok(Wanted::Help),
            other => return Err(format!("{other}: no such option")),
        }
    }
    if options.quick {
        options.history /= 10;
    }
    match options
        .rows
        .iter()
        .find(|name| rows::ALL.iter().all(|row| row.name != **name))
    {
        Some(unknown) => Err(format!("{unknown}: no such row; --list shows them")),
        None => Ok(Wanted::Bench(options)),
    }
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{text}: not a number"))
}

#[cfg(test)]
mod tests {
    use super::{Options, Wanted, read};
    use crate::rows;

    fn options(line: &str) -> Options {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match read(&arguments).expect("good arguments") {
            Wanted::Bench(options) => options,
            other => panic!("{other:?}"),
        }
    }

    /// Of a short row, one of the middle and a long one.
    fn rounds(line: &str) -> [usize; 3] {
        let options = options(line);
        ["close", "trickle", "dead"].map(|name| {
            let row = rows::ALL.iter().find(|row| row.name == name);
            options.rounds(row.expect("a row"))
        })
    }

    #[test]
    fn what_is_asked_for_rules_the_rounds() {
        assert_eq!(rounds(""), [5, 3, 1]);
        assert_eq!(rounds("--rounds 2"), [2, 2, 1]);
        assert_eq!(rounds("--quick"), [1, 1, 1]);
        assert_eq!(rounds("--against x"), [5, 5, 3]);
        assert_eq!(rounds("--against x --rounds 7"), [7, 7, 7]);
        assert_eq!(rounds("--against x --quick --rounds 2"), [2, 2, 2]);
    }

    #[test]
    fn rows_are_chosen_by_name_beside_another_build_too() {
        let options = options("--against x --rows close,tls-close");
        let wanted: Vec<_> = rows::ALL
            .iter()
            .map(|row| row.name)
            .filter(|name| options.wants(name))
            .collect();
        assert_eq!(wanted, ["close", "tls-close"]);
        let unknown = read(&["--rows".into(), "close,none".into()]);
        assert_eq!(unknown.unwrap_err(), "none: no such row; --list shows them");
    }
}
