//! `webhooksd check`: what a start or a reload would say of the configuration, before either is tried.
//!
//! The daemon judges ([`daemon::check`]); here its words are printed, with warnings about the rights of
//! the databases, which concern those who share them and not the daemon alone. Nothing is made, bound
//! or connected to, and no name is resolved, but for an outbox in PostgreSQL, whose server is asked.

use std::path::Path;
use std::process::ExitCode;

use super::{Ended, note, rights, say};
use crate::daemon;

/// Says every error of the configuration, and of what it leads to
///
/// Databases, socket, port, group, certificates and secrets are looked at as a start would find them;
/// nothing is changed. The server of an outbox in PostgreSQL is asked as well. Exit code 0 only without errors. Errors and warnings name file, line and column.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd check
  webhooksd check --config /etc/webhooksd/webhooks.toml && systemctl reload webhooksd")]
pub(super) struct Arguments {}

pub(super) fn check(path: &Path) -> Ended {
    let config = daemon::check(path)?;
    for warning in &config.warnings {
        note(format_args!("{warning}\n"));
    }
    let mut rights = match &config.outbox.server {
        Some(_) => Vec::new(),
        None => rights::warnings("[outbox] path", &config.outbox.path),
    };
    let log = config.log.place.file().into_iter();
    rights.extend(log.flat_map(|path| rights::warnings("[log] path", path)));
    for warning in &rights {
        note(format_args!("{warning}\n"));
    }
    if daemon::makes_outbox(&config) {
        let path = &config.outbox.path;
        say(format_args!(
            "there is no outbox at {path:?}: a start would make an empty one"
        ))?;
    }
    let webhooks = counted(config.webhooks.len(), "webhook");
    let warnings = match config.warnings.len() + rights.len() {
        0 => String::new(),
        count => format!(", {}", counted(count, "warning")),
    };
    say(format!(
        "{}: {webhooks}, no errors{warnings}",
        path.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
