//! The commands: what a person types, and what is printed. The only place that prints.
//!
//! One file for each command. Every error ends here, printed once with its causes on one line, and
//! a hint on a line of its own where a person can do something about it.

mod bulk;
mod by_hand;
mod cancel;
mod check;
mod client;
mod completions;
mod demo;
mod emit;
mod explain;
mod failure;
mod given;
mod journal;
mod listen;
mod logs;
mod man;
mod matching;
mod migrate;
mod page;
mod pause;
mod receiver;
mod redeliver;
mod reload;
mod replay;
mod rights;
mod run;
mod say;
mod schema;
mod screen;
mod spark;
mod start_from;
mod status;
mod table;
mod test;
mod text;
mod when;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config;
use crate::pipeline::chain;
use failure::{Ended, Failure, shown};
use given::{known_webhook, load, open_log};
use say::{note, note_in_place, say};

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
    Migrate(migrate::Arguments),
    Emit(emit::Arguments),
    Test(test::Arguments),
    Logs(logs::Arguments),
    Status(status::Arguments),
    Page(page::Arguments),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Redeliver(redeliver::Arguments),
    Cancel(cancel::Arguments),
    Replay(replay::Arguments),
    Explain(explain::Arguments),
    Match(matching::Arguments),
    Listen(listen::Arguments),
    Schema(schema::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

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
        Command::Migrate(arguments) => migrate::migrate(&path()?, arguments),
        Command::Emit(arguments) => emit::emit(&path()?, arguments),
        Command::Test(arguments) => test::test(&path()?, arguments),
        Command::Logs(arguments) => logs::logs(&path()?, arguments),
        Command::Status(arguments) => status::status(&path()?, arguments),
        Command::Page(arguments) => page::page(path, arguments),
        Command::Pause(arguments) => pause::pause(&path()?, arguments),
        Command::Resume(arguments) => pause::resume(&path()?, arguments),
        Command::Redeliver(arguments) => redeliver::redeliver(&path()?, arguments),
        Command::Cancel(arguments) => cancel::cancel(&path()?, arguments),
        Command::Replay(arguments) => replay::replay(&path()?, arguments),
        Command::Explain(arguments) => explain::explain(&path()?, arguments),
        Command::Match(arguments) => matching::matching(&path()?, arguments),
        Command::Listen(arguments) => listen::listen(arguments),
        Command::Schema(arguments) => schema::schema(arguments),
        Command::Completions(arguments) => completions::completions(arguments, parser()),
        Command::Man(arguments) => man::man(arguments, parser()),
    }
}

/// The parser, for the commands that are made from it.
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
