//! `webhooksd status`: how each webhook is doing, and whether the daemon is well.
//!
//! What is in the log is read from the log, so most of it is there without a daemon; what is in
//! flight, and whether the pipeline moves, only the daemon knows and is asked. What was found is in
//! `status/found.rs`, how it looks in `status/show.rs`, the shape of `--json` in `status/json.rs`.

mod found;
mod json;
mod show;

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use super::client::{self, Client};
use super::screen::Screen;
use super::{Ended, Failure, load, shown, text};
use crate::config::Config;
use crate::model::Clock;
use crate::query;
use crate::store;
use found::{Daemon, Status};

/// Shows how each webhook is doing
///
/// Reads the log, and asks the daemon what is in flight; without a daemon it says so and shows the
/// rest. Rates are of the last hour, in steps of 5 minutes; percentiles of the last day, as in the
/// view health of the log. A percentile is the upper edge of its bucket.
///
/// A webhook is FAILING when it is active and gave a delivery up in the last hour that nobody has
/// sent again; or when one that it gave up holds what is behind it, by `if_failed = "hold"`, however long ago; or when its
/// newest attempt failed, none of the last hour was delivered, and there was something to deliver in that hour or is now.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = concat_help())]
pub(super) struct Arguments {
    /// One JSON object; the shape is in --help
    #[arg(long)]
    json: bool,
    /// Ends with 1 when a webhook is failing, or the daemon is not well or not running
    #[arg(long)]
    check: bool,
}

const EXAMPLES: &str = "Examples:
  webhooksd status
  webhooksd status --check >/dev/null || mail -s 'webhooks are failing' ops@example.com
  webhooksd status --json | jq -r '.webhooks[] | select(.failing) | .name'";

const SHAPE: &str = "The shape of --json, version 1 (a later version may add keys; times are UTC, or null):
  v                   1
  time                when this was made
  daemon              null, or what it answered: {pid, version, healthy, complaints, warnings,
                      in_flight, last_reload_failed, outbox_lag, waits_for_room_since}; warnings stop
                      nothing, and waits_for_room_since is null but while events wait for room in the log
  daemon_problem      why it did not answer; null where it did
  log                 {bytes, wal_bytes, max_bytes, oldest}: the sizes of the log and of its -wal; the
                      max_size, or null; when the oldest attempt of finished work was made, or null
  nodes               of a log in PostgreSQL: {id, name, version, webhooks, last_beat_ms, me, config_differs}
                      each, as the daemon says it; webhooks: how many it sends for; last_beat_ms: for how long it
                      gave no sign of life; config_differs: its webhooks.toml is not that of who takes events in
  failing             how many webhooks are
  webhooks            by name:
    name, state       \"active\", \"inactive\", or \"new\" (not known to the daemon yet)
    failing           as above
    pending           deliveries that wait for an attempt, counted up to 100,000
    pending_more      whether there are more than that
    in_flight         requests in flight; null without a daemon
    max_per_second    how many may begin in a second; null for any number
    held_until        until when the endpoint asked to wait by Retry-After; null where it did not
    held, holding     how many deliveries wait for their turn by in_order, and how many that were given up hold them,
                      each counted up to 10,000; null where none does
    holding_since     since when the oldest of those does
    last_success, last_failure, last_error
    hour              {attempts, failures, success_rate (0 to 1, null without attempts), p50_ms, p99_ms}
    day               {attempts, failures, p50_ms, p99_ms} of the last 24 h
    hours             24 of {attempts, failures}, the oldest first, the last is the one that runs
    given_up          deliveries given up in the last hour and not sent again, counted up to 1,000
    paused_since, paused_until, paused_reason
                      of its pause; all null where it is not paused, paused_until where it is until resumed";

fn concat_help() -> String {
    format!("{EXAMPLES}\n\n{SHAPE}")
}

pub(super) fn status(path: &Path, arguments: &Arguments) -> Ended {
    let config = load(path)?;
    let now_ms = Clock::system().now_ms();
    let (daemon, log) = (ask(&config), query::log(&config)?);
    let max_bytes = match &daemon {
        Daemon::Answered(answered) => answered.log.max_bytes,
        Daemon::Unasked { .. } | Daemon::Silent(_) => config.log.max_bytes,
    };
    let oldest_ms = log.as_ref().map(|log| log.oldest());
    let (mut log_bytes, wal_bytes) = store::log_size(&config.log.place);
    if let Some(bytes) = log.as_ref().and_then(|log| log.bytes()) {
        log_bytes = bytes;
    }
    let status = Status {
        now_ms,
        log_bytes,
        wal_bytes,
        max_bytes,
        oldest_ms: oldest_ms.transpose()?.flatten(),
        daemon,
        webhooks: query::webhooks(&config, log.as_deref(), now_ms)?,
        rates: rates(&config),
    };
    let mut screen = Screen::new();
    let written = if arguments.json {
        screen.line(text::json(&json::of(&status)))
    } else {
        show::show(&mut screen, &status)
    };
    shown(written.and_then(|()| screen.flush()))?;
    Ok(if arguments.check && !status.is_well() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn rates(config: &Config) -> HashMap<String, f64> {
    let each = config.webhooks.iter();
    each.filter_map(|w| Some((w.name.to_string(), w.max_per_second?.per_second())))
        .collect()
}

fn ask(config: &Config) -> Daemon {
    let asked = Client::hurried(config)
        .map_err(Failure::from)
        .and_then(|client| client.get("/status")?.json::<query::Status>());
    match asked {
        Ok(answered) => Daemon::Answered(Box::new(answered)),
        Err(failure) => match (
            &config.socket,
            config.log.place.file().and_then(client::holder),
        ) {
            (None, Some(pid)) => Daemon::Unasked { pid },
            (None, None) => Daemon::Silent("no process holds the lock of the log".to_owned()),
            (Some(_), Some(pid)) => {
                Daemon::Silent(format!("{}, but process {pid} has the log", failure.text))
            }
            (Some(_), None) => Daemon::Silent(failure.text),
        },
    }
}
