//! `webhooksd pause` and `webhooksd resume`: a webhook is held back, and goes on.
//!
//! The daemon does it at once. Without a daemon the log takes the same wish by SQL, which the next one
//! heeds from its start; it is printed and not done, as for `redeliver`.

use std::path::Path;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::json;

use super::by_hand::by_hand;
use super::client::{self, Client};
use super::{Ended, Failure, known_webhook, load, open_log, say, text, when};
use crate::config::Config;
use crate::model::{Clock, LONGEST_PAUSE_MS};

/// Holds a webhook back, and keeps its backlog
///
/// No attempt begins until it is resumed; what is in flight ends. What comes meanwhile waits, also
/// beyond the days of the log, and no try is spent. To pause again puts the new end in the place of the old one.
/// It holds over restarts and reloads. `test` still goes.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd pause search-index
  webhooksd pause search-index --for 2h
  webhooksd resume search-index")]
pub(super) struct Pause {
    /// The webhook's name
    webhook: String,
    /// Goes on by itself after so long: 10s, 5m, 2h, 3d [default: when it is resumed]
    #[arg(long = "for", value_name = "SPAN", value_parser = span_ms)]
    for_ms: Option<i64>,
}

/// Lets a paused webhook go on
///
/// What waited goes, the oldest first.
#[derive(clap::Args)]
#[command(after_help = "Example:
  webhooksd resume search-index")]
pub(super) struct Resume {
    /// The webhook's name
    webhook: String,
}

#[derive(Deserialize)]
struct Paused {
    paused_until: Option<String>,
}

#[derive(Deserialize)]
struct Resumed {
    resumed: bool,
    held_until: Option<String>,
}

fn span_ms(typed: &str) -> Result<i64, String> {
    let span = when::parse_span_ms(typed).filter(|ms| (1..=LONGEST_PAUSE_MS).contains(ms));
    span.ok_or_else(|| {
        "say how long (500ms, 10s, 5m, 2h, 3d), up to 366d; without --for it lasts until it is resumed".into()
    })
}

pub(super) fn pause(path: &Path, arguments: &Pause) -> Ended {
    let config = load(path)?;
    let name = &arguments.webhook;
    known_webhook(&config, open_log(&config).ok().as_deref(), name)?;
    let body = json!({ "webhook": name, "for_ms": arguments.for_ms });
    let asked = Client::of(&config).and_then(|client| client.post("/pause", &body));
    let sql = || pause_sql(name, arguments.for_ms, Clock::system().now_ms());
    let paused: Paused = asked.map_err(|error| by_sql(error, &config, sql))?.json()?;
    let until = paused.paused_until.map_or_else(
        || format!("until `webhooksd resume {name}`"),
        |until| format!("until {}", text::line(&until)),
    );
    say(format!(
        "{name} is paused {until}; what comes meanwhile waits"
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn resume(path: &Path, arguments: &Resume) -> Ended {
    let config = load(path)?;
    let name = &arguments.webhook;
    let log = open_log(&config).ok();
    // A row of the table may outlive whatever else there was of its webhook.
    let pauses = log
        .as_ref()
        .map_or_else(|| Ok(Vec::new()), |log| log.pauses(i64::MIN))?;
    if !pauses.iter().any(|pause| *pause.webhook == **name) {
        known_webhook(&config, log.as_deref(), name)?;
    }
    let asked =
        Client::of(&config).and_then(|client| client.post("/resume", &json!({ "webhook": name })));
    let sql = || format!("DELETE FROM pause WHERE webhook = '{}'", doubled(name));
    let resumed: Resumed = asked.map_err(|error| by_sql(error, &config, sql))?.json()?;
    if resumed.resumed {
        say(format!(
            "{name} is resumed: what waited goes, the oldest first"
        ))?;
    } else {
        say(format!("{name} was not paused"))?;
    }
    if let Some(until) = resumed.held_until {
        say(format!(
            "its endpoint asked to wait (Retry-After): nothing but a test is sent before {}",
            text::line(&until)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// No daemon can be asked: the SQL that does it, which the next daemon to run heeds.
fn by_sql(error: client::Error, config: &Config, sql: impl Fn() -> String) -> Failure {
    if !matches!(
        error,
        client::Error::NoSection | client::Error::Connect { .. }
    ) {
        return error.into();
    }
    let hint = format!(
        "without the daemon SQL does it, and the daemon heeds it once it runs:\n\
         {} \"{}\"",
        by_hand(&config.log.place),
        sql()
    );
    Failure::new(&error).hint(Some(hint))
}

fn pause_sql(name: &str, for_ms: Option<i64>, now_ms: i64) -> String {
    let name = doubled(name);
    match for_ms {
        None => format!("INSERT INTO pause (webhook) VALUES ('{name}')"),
        Some(for_ms) => format!(
            "INSERT INTO pause (webhook, until) VALUES ('{name}', {})",
            now_ms.saturating_add(for_ms)
        ),
    }
}

/// A text of SQL: a name that only the log knows may be anything.
fn doubled(name: &str) -> String {
    text::line(name).replace('\'', "''")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_above_nothing_and_the_sql_says_the_same() {
        for (typed, ms) in [("500ms", 500), ("10s", 10_000), ("2h", 7_200_000)] {
            assert_eq!(span_ms(typed), Ok(ms));
        }
        for typed in ["0s", "-1s", "2", "soon", "", "367d"] {
            assert!(span_ms(typed).is_err(), "{typed}");
        }
        assert_eq!(
            pause_sql("erp", Some(2_000), 5_000),
            "INSERT INTO pause (webhook, until) VALUES ('erp', 7000)"
        );
        assert_eq!(
            pause_sql("it's", None, 0),
            "INSERT INTO pause (webhook) VALUES ('it''s')"
        );
    }
}
