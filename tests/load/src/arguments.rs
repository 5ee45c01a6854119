//! The bench's arguments, read by hand: few enough that a parser would be the larger part.
//!
//! The two hidden ones (`receiver`, `bare`) are not here; they are for the bench itself.

use std::path::PathBuf;

use crate::rows;

pub(crate) const HELP: &str =
    "cargo run --release --manifest-path tests/load/Cargo.toml -- [OPTIONS]
  --binary PATH      the webhooksd to measure, instead of building it
  --only NAME[,NAME] these rows alone
  --rounds N         rounds of each figure that is a rate [default: 3]
  --history N        attempts in the log of the row `history` [default: 5000000]
  --quick            a tenth of the counts, shorter times, one round: to see that it works
  --folder PATH      where the databases are written; no tmpfs [default: tests/load/target]
  --list             the rows and what they are";

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) binary: Option<PathBuf>,
    pub(crate) only: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) history: i64,
    pub(crate) quick: bool,
    pub(crate) folder: Option<PathBuf>,
}

impl Options {
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

pub(crate) enum Wanted {
    Bench(Options),
    List,
    Help,
}

pub(crate) fn read(arguments: &[String]) -> Result<Wanted, String> {
    let mut options = Options {
        binary: None,
        only: Vec::new(),
        rounds: 3,
        history: 5_000_000,
        quick: false,
        folder: None,
    };
    let mut rounds = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--binary" => options.binary = Some(value()?.into()),
            "--folder" => options.folder = Some(value()?.into()),
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--rounds" => rounds = Some(number(value()?)?),
            "--history" => options.history = number(value()?)?,
            "--quick" => options.quick = true,
            "--list" => return Ok(Wanted::List),
            "--help" | "-h" => return Ok(Wanted::Help),
            other => return Err(format!("{other}: no such option")),
        }
    }
    if options.quick {
        options.rounds = 1;
        options.history /= 10;
    }
    options.rounds = rounds.unwrap_or(options.rounds).max(1);
    match options
        .only
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
