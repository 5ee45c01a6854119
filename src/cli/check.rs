//! `webhooksd check`: every error of the configuration, and its warnings.
//!
//! It reads what the daemon would read, secrets and CA files included, looks at the rights of the
//! databases by their paths, and reads the outbox's table where there is one. Nothing else: no file is
//! made, no name resolved, no port bound.

use std::path::Path;
use std::process::ExitCode;

use super::{Ended, Failure, note, rights, say};
use crate::config::{self, SecretsWanted};
use crate::{daemon, outbox, transport};

/// Says every error of the configuration
///
/// Exit code 0 only without errors. Errors and warnings name file, line and column.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd check
  webhooksd check --config /etc/webhooksd/webhooks.toml && systemctl reload webhooksd")]
pub(super) struct Arguments {}

pub(super) fn check(path: &Path) -> Ended {
    let config = config::load(path, SecretsWanted::Check, &transport::check_ca)
        .map_err(daemon::Error::Config)?;
    for warning in &config.warnings {
        note(format_args!("{warning}\n"));
    }
    let mut rights = rights::warnings("[outbox] path", &config.outbox.path);
    rights.extend(rights::warnings("[log] path", &config.log.path));
    for warning in &rights {
        note(format_args!("{warning}\n"));
    }
    let (errors, found): (Vec<_>, Vec<_>) =
        outbox::inspect(&config.outbox.path, daemon::owns_outbox(&config))
            .into_iter()
            .partition(|finding| finding.is_error);
    for finding in &found {
        note(format_args!("warning: [outbox] path: {}", finding.text));
        if let Some(hint) = &finding.hint {
            note(format_args!("hint: {hint}\n"));
        }
    }
    if let Some(error) = errors.into_iter().next() {
        let text = format!("[outbox] path: {}", error.text);
        return Err(Failure::text(text).code(2).hint(error.hint));
    }
    if let Some(how) = outbox::other_name(&config.log.path) {
        let log = config.log.path.clone();
        return Err(daemon::Error::OtherName { log, how }.into());
    }
    let webhooks = counted(config.webhooks.len(), "webhook");
    let warnings = match config.warnings.len() + rights.len() + found.len() {
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
