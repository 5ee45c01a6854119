//! `webhooksd schema`: the SQL of the outbox and of the log, for pipes and for reading.

use std::process::ExitCode;

use super::{Ended, Failure, say};
use crate::{outbox, store};

/// Prints the SQL of a database
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd schema outbox | sqlite3 app.db     make the outbox in the application's own database
  webhooksd schema outbox --postgres | psql app
  webhooksd schema outbox --postgres --doorbell | psql app
  webhooksd schema log                         the tables and views that `sqlite3 log.db` shows")]
pub(super) struct Arguments {
    /// Of which
    #[arg(value_enum)]
    which: Which,
    /// For PostgreSQL, of an outbox
    #[arg(long)]
    postgres: bool,
    /// With what `[outbox] doorbell = true` needs, at the end
    #[arg(long, requires = "postgres")]
    doorbell: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Which {
    /// The table that applications write
    Outbox,
    /// The tables and views of the log
    Log,
}

pub(super) fn schema(arguments: &Arguments) -> Ended {
    match arguments.which {
        Which::Outbox if arguments.postgres => {
            say(outbox::postgres::SCHEMA.trim_end())?;
            if arguments.doorbell {
                say(outbox::postgres::DOORBELL.trim_end())?;
            }
        }
        Which::Log if arguments.postgres => {
            let text = "the log is in SQLite: --postgres is for `schema outbox`";
            return Err(Failure::text(text).code(2));
        }
        Which::Outbox => say(outbox::SCHEMA.trim_end())?,
        Which::Log => say(store::sql().trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}
