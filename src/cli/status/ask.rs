//! Asking the daemon: whether it is there, and how it is.
//!
//! It is asked of itself first, which it answers at once whatever its files and its log's server do: who says nothing to
//! that stands still. All of its status may take longer, for the outbox is waited for.

use super::found::Daemon;
use crate::cli::Failure;
use crate::cli::client::{self, BRISK, Client, Error};
use crate::config::Config;
use crate::query;

pub(super) fn ask(config: &Config) -> Daemon {
    let holder = || client::holder(config);
    let (brisk, hurried) = match (Client::brisk(config), Client::hurried(config)) {
        (Ok(brisk), Ok(hurried)) => (brisk, hurried),
        (Err(_), _) | (_, Err(_)) => {
            let is_file = config.log.place.file().is_some();
            return match holder() {
                None if is_file => Daemon::Silent("no process holds the lock of the log".into()),
                pid => Daemon::Unasked { pid },
            };
        }
    };
    let brief = match brisk.get("/status?brief") {
        Ok(answer) => answer.json::<query::Status>().ok(),
        Err(error) if error.is_of_nobody() => return Daemon::Silent(Failure::from(error).text),
        Err(error) => {
            let why = match &error {
                Error::Talk { path, .. } if error.is_late() => format!(
                    "the daemon at {path:?} says nothing for {} s: see whether it is just starting, is stopped (SIGSTOP, a \
                     debugger), or its machine has neither time nor memory for it; its journal may say more",
                    BRISK.as_secs()
                ),
                _ => Failure::from(error).in_one_line(),
            };
            let pid = holder();
            return Daemon::Mute { pid, why };
        }
    };
    let whole = hurried.get("/status").map_err(Failure::from);
    match whole.and_then(client::Answer::json::<query::Status>) {
        Ok(answered) => Daemon::Answered(Box::new(answered)),
        // It moves: what keeps the rest is among what it complains of.
        Err(failure) => match brief {
            Some(brief) => Daemon::Answered(Box::new(brief)),
            None => Daemon::Mute {
                pid: holder(),
                why: failure.in_one_line(),
            },
        },
    }
}
