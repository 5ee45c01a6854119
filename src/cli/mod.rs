//! The commands: what a person types, and what is printed. The only place that prints.
//!
//! One file for each command. Every error ends here, printed once with its causes on one line, and
//! a hint on a line of its own where a person can do something about it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the one place that prints"
)]

mod check;
mod demo;
mod emit;
mod journal;
mod receiver;
mod run;
mod schema;
mod start_from;
mod table;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config;

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
  sqlite3 outbox.db \"INSERT INTO outbox (event, data) VALUES ('story-approve', '{\\\"id\\\":7}')\"
  sqlite3 -readonly log.db 'SELECT time, webhook, event, outcome, status, error FROM log'

Exit codes: 0 done, 1 it failed, 2 bad usage or configuration.";

#[derive(Subcommand)]
enum Command {
    Run(run::Arguments),
    Demo(demo::Arguments),
    Check(check::Arguments),
    Emit(emit::Arguments),
    StartFrom(start_from::Arguments),
    Schema(schema::Arguments),
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
        Self::new(&error).hint(error.hint()).code(error.exit_code())
    }
}

impl From<crate::outbox::Error> for Failure {
    fn from(error: crate::outbox::Error) -> Self {
        Self::new(&error).hint(error.hint())
    }
}

impl From<crate::store::Error> for Failure {
    fn from(error: crate::store::Error) -> Self {
        Self::new(&error).hint(error.hint())
    }
}

/// Runs what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { config, command } = Arguments::parse();
    carry_out(config, &command).unwrap_or_else(|failure| {
        eprintln!("{}", failure.text);
        if let Some(hint) = failure.hint {
            eprintln!("hint: {hint}");
        }
        ExitCode::from(failure.code)
    })
}

fn carry_out(config: Option<PathBuf>, command: &Command) -> Ended {
    let path = || match config {
        Some(path) => Ok(path),
        None => config::default_file().map_err(crate::daemon::Error::Config),
    };
    match command {
        Command::Run(arguments) => run::run(&path()?, arguments),
        Command::Demo(arguments) => demo::demo(arguments),
        Command::Check(_) => check::check(&path()?),
        Command::Emit(arguments) => emit::emit(&path()?, arguments),
        Command::StartFrom(arguments) => start_from::start_from(&path()?, arguments),
        Command::Schema(arguments) => schema::schema(arguments),
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
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
