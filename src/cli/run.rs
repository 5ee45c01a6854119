//! `webhooksd run`: the daemon in the foreground, as systemd wants it.

use std::path::PathBuf;
use std::process::ExitCode;

use super::journal::{self, Form, Level};
use super::{Ended, Failure};
use crate::daemon;

/// Runs the daemon in the foreground
///
/// Follows the outbox and delivers until SIGTERM; SIGHUP takes the configuration in again. What it
/// does is told on standard error, a line for each attempt.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd run
  webhooksd run --config /etc/webhooksd/webhooks.toml --journal json
  webhooksd run --node b --socket b.sock   a second node on one machine, of a log in PostgreSQL
  webhooksd reload                         takes the configuration in again, as SIGHUP does")]
pub(super) struct Arguments {
    /// How lines are written
    #[arg(long, value_enum, default_value_t = Form::Text)]
    journal: Form,
    /// Which lines are written: `warn` leaves out the line of each attempt that is not the last
    #[arg(long, value_enum, default_value_t = Level::Info)]
    level: Level,
    /// By which name other nodes and `status` know this one, where several share a log [default: the host's name]
    #[arg(long, value_name = "NAME", value_parser = node)]
    node: Option<String>,
    /// The socket, in the place of the configuration's: for a second node on one machine
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

fn node(name: &str) -> Result<String, String> {
    let length = (1..=64).contains(&name.chars().count());
    if length && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    Err("a node's name is 1 to 64 characters, none of them a control".into())
}

/// Runs the daemon. A failure is said by the journal, which is where its owner looks.
pub(super) fn run(path: Result<PathBuf, Failure>, arguments: &Arguments) -> Ended {
    let journal = journal::begin(arguments.journal, arguments.level);
    let given = daemon::Given {
        node: arguments.node.clone(),
        socket: arguments.socket.clone(),
    };
    let ended = path.and_then(|path| Ok(daemon::run(&path, &given)?));
    match ended {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(failure) => {
            journal.end_with(&failure);
            Ok(ExitCode::from(failure.code))
        }
    }
}
