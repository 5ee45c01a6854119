//! The commands: what a person types, and what is printed. The only place that prints.
//!
//! One file for each command. Every error ends here, printed once with its causes on one line, and
//! a hint on a line of its own where a person can do something about it.

mod check;
mod client;
mod completions;
mod demo;
mod emit;
mod explain;
mod journal;
mod listen;
mod logs;
mod man;
mod receiver;
mod redeliver;
mod reload;
mod replay;
mod rights;
mod run;
mod schema;
mod screen;
mod spark;
mod start_from;
mod status;
mod table;
mod test;
mod text;
mod when;

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, Config, SecretsWanted};
use crate::pipeline::chain;
use crate::store::Reader;
use crate::transport;
use rights::lacking;

/// Delivers events from a SQLite outbox as signed webhooks, and keeps a log that sqlite3 reads.
#[derive(Parser)]
#[command(name = "webhooksd", version, arg_required_else_help = true, after_help = AFTER)]
struct Arguments {
    /// The configuration [default: webhooks.toml, then /etc/webhooksd/webhooks.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "Examples:
  webhooksd demo                     see the whole thing work, without any configuration
  webhooksd check                    every error of webhooks.toml at once
  webhooksd run                      the daemon
  webhooksd status                   how each webhook is doing
  webhooksd logs --failed --since 2h what failed lately, and why
  sqlite3 outbox.db \"INSERT INTO outbox (event, data) VALUES ('story-approve', '{\\\"id\\\":7}')\"
  sqlite3 -readonly log.db 'SELECT time, webhook, event, outcome, status, error FROM log'

Exit codes: 0 done, 1 it failed, 2 bad usage or configuration.";

#[derive(Subcommand)]
enum Command {
    Run(run::Arguments),
    Demo(demo::Arguments),
    Check(check::Arguments),
    Reload(reload::Arguments),
    StartFrom(start_from::Arguments),
    Emit(emit::Arguments),
    Test(test::Arguments),
    Logs(logs::Arguments),
    Status(status::Arguments),
    Redeliver(redeliver::Arguments),
    Replay(replay::Arguments),
    Explain(explain::Arguments),
    Listen(listen::Arguments),
    Schema(schema::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// What a command ends with: its exit code, or an error to be printed.
type Ended = Result<ExitCode, Failure>;

/// An error on its way to the person.
struct Failure {
    text: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// An error with its causes, and exit code 1.
    fn new(error: &dyn Error) -> Self {
        Self {
            text: chain(error),
            hint: None,
            code: 1,
        }
    }

    fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: None,
            code: 1,
        }
    }

    /// What is printed of it.
    fn lines(&self) -> String {
        let mut lines = String::new();
        if !self.text.is_empty() {
            // It may quote what others wrote.
            lines.push_str(text::block(&self.text, "").trim_end());
            lines.push('\n');
        }
        if let Some(hint) = &self.hint {
            lines.push_str("hint: ");
            lines.push_str(hint);
            lines.push('\n');
        }
        lines
    }

    fn hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into);
        self
    }

    fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

impl From<crate::daemon::Error> for Failure {
    fn from(error: crate::daemon::Error) -> Self {
        use crate::daemon::Error as E;
        let denied = |source: &io::Error| source.kind() == io::ErrorKind::PermissionDenied;
        let lacking = match &error {
            E::Config(config::LoadError::Read { path, source }) if denied(source) => {
                lacking::hint(path)
            }
            E::Lock { path, source } if denied(source) => lacking::hint(path),
            E::Store(error) => to_log(error),
            _ => None,
        };
        let hint = lacking.or_else(|| error.hint());
        Self::new(&error).hint(hint).code(error.exit_code())
    }
}

impl From<crate::outbox::Error> for Failure {
    fn from(error: crate::outbox::Error) -> Self {
        Self::new(&error).hint(error.hint())
    }
}

impl From<crate::store::Error> for Failure {
    fn from(error: crate::store::Error) -> Self {
        let hint = to_log(&error).or_else(|| error.hint().map(str::to_owned));
        Self::new(&error).hint(hint)
    }
}

/// What helps where the log could not be opened because this user lacks a right.
fn to_log(error: &crate::store::Error) -> Option<String> {
    match error {
        crate::store::Error::Open { path, .. } => lacking::hint(path),
        _ => None,
    }
}

/// The only error of this kind that a command leaves as it is comes from standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // Whoever reads has seen enough.
            return Self::text("").code(0);
        }
        Self::text(format!("write the output: {error}"))
    }
}

/// What became of output that somebody may have stopped reading: that is no error, and the command's
/// exit code is what it is.
fn shown(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints a line.
fn say(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    shown(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// Prints a line on standard error. Nobody may be left to read it; the exit code says it too.
fn note(text: impl std::fmt::Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints on standard error without ending the line.
fn note_in_place(text: impl std::fmt::Display) {
    let mut stderr = io::stderr().lock();
    drop(write!(stderr, "{text}").and_then(|()| stderr.flush()));
}

/// Reads the configuration for commands that send nothing: without secrets.
fn load(path: &Path) -> Result<Config, Failure> {
    let config = config::load(path, SecretsWanted::Skip, &transport::check_ca);
    Ok(config.map_err(crate::daemon::Error::Config)?)
}

/// Opens the log for reading.
fn open_log(config: &Config) -> Result<Reader, Failure> {
    let path = &config.log.path;
    if !is_there(path) {
        let text = format!("there is no log yet at {path:?}");
        return Err(Failure::text(text).hint(Some("the daemon makes it: `webhooksd run`")));
    }
    Ok(Reader::open(path)?)
}

/// Whether a file is there, or may be: in a folder that this user may not enter, opening it says more.
fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

/// Refuses the name of a webhook that neither the configuration nor the log knows.
fn known_webhook(config: &Config, log: Option<&Reader>, name: &str) -> Result<(), Failure> {
    let mut names: Vec<String> = config.webhooks.iter().map(|w| w.name.to_string()).collect();
    if let Some(log) = log {
        names.extend(log.webhooks()?.into_iter().map(|webhook| webhook.name));
    }
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    names.sort();
    names.dedup();
    names.truncate(NAMES_SHOWN);
    let failure = Failure::text(format!("no webhook is called {name:?}")).code(2);
    Err(failure.hint((!names.is_empty()).then(|| format!("there are {}", names.join(", ")))))
}

/// Names of webhooks in a hint; there may be ten thousand.
const NAMES_SHOWN: usize = 20;

/// Runs what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { config, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misunderstood(&error),
    };
    carry_out(config, &command).unwrap_or_else(|failure| {
        let lines = failure.lines();
        if !lines.is_empty() {
            note(journal::printed(&lines, false).trim_end());
        }
        ExitCode::from(failure.code)
    })
}

/// A command line that can't be read, or one that asks how to write it.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let of_run = std::env::args_os().any(|argument| argument == "run");
    let plain = error.render().to_string();
    let printed = journal::printed(&plain, of_run);
    if !error.use_stderr() || printed == plain {
        error.exit();
    }
    note(printed.trim_end());
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn carry_out(config: Option<PathBuf>, command: &Command) -> Ended {
    let path = || match config {
        Some(path) => Ok(path),
        None => Ok(config::default_file().map_err(crate::daemon::Error::Config)?),
    };
    match command {
        Command::Run(arguments) => run::run(path(), arguments),
        Command::Demo(arguments) => demo::demo(arguments),
        Command::Check(_) => check::check(&path()?),
        Command::Reload(_) => reload::reload(&path()?),
        Command::StartFrom(arguments) => start_from::start_from(&path()?, arguments),
        Command::Emit(arguments) => emit::emit(&path()?, arguments),
        Command::Test(arguments) => test::test(&path()?, arguments),
        Command::Logs(arguments) => logs::logs(&path()?, arguments),
        Command::Status(arguments) => status::status(&path()?, arguments),
        Command::Redeliver(arguments) => redeliver::redeliver(&path()?, arguments),
        Command::Replay(arguments) => replay::replay(&path()?, arguments),
        Command::Explain(arguments) => explain::explain(&path()?, arguments),
        Command::Listen(arguments) => listen::listen(arguments),
        Command::Schema(arguments) => schema::schema(arguments),
        Command::Completions(arguments) => completions::completions(arguments),
        Command::Man(arguments) => man::man(arguments),
    }
}

/// The parser, for what is made from it.
fn parser() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_parser_is_sound_and_every_command_has_an_example() {
        let mut root = Arguments::command();
        root.clone().debug_assert();
        for command in root.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{}", command.get_name());
        }
    }
}
