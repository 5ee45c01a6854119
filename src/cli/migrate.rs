//! `webhooksd migrate`: makes the log in PostgreSQL where there is none, and takes a machine's log over.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Ended, Failure, note_in_place, say};
use crate::config::{self, SecretsWanted};
use crate::daemon::{Error, Lock};
use crate::model::Clock;
use crate::store;
use crate::transport;

/// Makes the log in PostgreSQL, or brings it to this version's shape
///
/// `run` makes a log too where there is none; this is for whoever wants it made before, by a user who may. A log of the
/// version before is brought to this one's while its nodes go on: what they write waits for less than two seconds. With
/// --from, all that is in a log in SQLite goes into the server's, which has to be empty: what is pending with its
/// attempts and times, what was sent, pauses, and how far the outbox was taken in. The daemon of that log must not be
/// running. All of it goes or nothing: what is broken off is begun again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd migrate                  make the log of [log] url, or bring it to this version
  webhooksd migrate --from log.db    take over the log of the machine that was stopped")]
pub(super) struct Arguments {
    /// A log in SQLite
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

pub(super) fn migrate(path: &Path, arguments: &Arguments) -> Ended {
    let config =
        config::load(path, SecretsWanted::Skip, &transport::check_ca).map_err(Error::Config)?;
    let Some(server) = config.log.place.server() else {
        let text = "the log is in SQLite: every start brings it to this version's shape by itself";
        let hint = "`webhooksd migrate` is for a log in PostgreSQL, [log] url";
        return Err(Failure::text(text).hint(Some(hint)).code(2));
    };
    let Some(from) = &arguments.from else {
        say(match store::upgrade_log(server).map_err(Error::Store)? {
            store::Brought::Ready => format!("the log {:?} is ready", server.shown),
            store::Brought::Up(from, to) => format!(
                "the log {:?} was of version {from} and is of version {to} now\nnodes of the version before may go on \
                 until they are replaced, one after the other, within a week",
                server.shown
            ),
        })?;
        return Ok(ExitCode::SUCCESS);
    };
    if !from.try_exists().unwrap_or(true) {
        let text = format!("there is no log at {}", from.display());
        return Err(Failure::text(text).code(2));
    }
    let _lock = Lock::take(from)?;
    let shown = io::stderr().is_terminal();
    let mut told = |what: &'static str, rows: u64| {
        if shown {
            note_in_place(format_args!("\r\x1b[K{what}: {rows} "));
        }
    };
    let taken = store::take_over(from, server, Clock::system().now_ms(), &mut told);
    if shown {
        note_in_place("\r\x1b[K");
    }
    let taken = taken.map_err(Error::Store)?;
    say(format!(
        "the log {:?} has {} pending deliveries and {} attempts of {}\nmove that file away now: a daemon that is \
         started with it sends what is pending there as well",
        server.shown,
        taken.pending,
        taken.attempts,
        from.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
