//! `webhooksd status`: how each webhook is doing, and whether the daemon is well.
//!
//! What is in the log is read from the log, so most of it is there without a daemon; what is in
//! flight, and whether the pipeline moves, only the daemon knows and is asked (`status/ask.rs`). Where the log can't be
//! read, that is said, and what the daemon says of itself is shown. What was found is in
//! `status/found.rs`, how it looks in `status/show.rs`, the shape of `--json` in `status/json.rs`.

mod ask;
mod found;
mod json;
mod show;

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use super::screen::Screen;
use super::{Ended, Failure, load, note, shown, text};
use crate::config::Config;
use crate::model::Clock;
use crate::query;
use crate::store::{self, LogReader, WebhookHealth};
use found::{Daemon, Node, Status};

/// Shows how each webhook is doing
///
/// Reads the log, and asks the daemon what is in flight; without a daemon it says so and shows the
/// rest, and where the log can't be read what the daemon says. Rates are of the last hour, in steps of 5 minutes; percentiles of the last day, as in the
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
  daemon              null, or what it answered: {pid, version, started_at, healthy, complaints, warnings,
                      in_flight, last_reload_failed, outbox_lag, waits_for_room_since}; warnings stop
                      nothing, and waits_for_room_since is null but while events wait for room in the log
  daemon_problem      why it did not answer; null where it did
  log                 {bytes, wal_bytes, max_bytes, oldest}: the sizes of the log and of its -wal; the
                      max_size, or null; when the oldest attempt of finished work was made, or null
  log_problem         why the log can't be read, with what to do; null where it can; else failing is null and webhooks
                      is empty
  nodes               of a log in PostgreSQL: {id, name, version, webhooks, last_beat_ms, me, leads, config_differs}
                      each, as the daemon says it; webhooks: how many it sends for; leads: it takes events in;
                      last_beat_ms: for how long it gave no sign of life; config_differs: its webhooks.toml is not
                      that of who takes events in; without a daemon by the log, these two are null and me is false
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
    let daemon = ask::ask(&config);
    let (of_log, log_problem) = match OfLog::read(&config, &daemon, now_ms) {
        Ok(of_log) => (of_log, None),
        Err(error) => match &daemon {
            // What it says of itself is there all the same.
            Daemon::Answered(_) | Daemon::Mute { .. } => {
                (OfLog::unread(&daemon), Some(Failure::from(error)))
            }
            Daemon::Unasked { .. } | Daemon::Silent(_) => return Err(error.into()),
        },
    };
    if let Some(failure) = &log_problem {
        note(failure.lines().trim_end());
    }
    let max_bytes = match &daemon {
        Daemon::Answered(answered) => answered.log.max_bytes,
        Daemon::Unasked { .. } | Daemon::Mute { .. } | Daemon::Silent(_) => config.log.max_bytes,
    };
    let (log_bytes, wal_bytes) = store::log_size(&config.log.place);
    let status = Status {
        now_ms,
        log_bytes: of_log.bytes.unwrap_or(log_bytes),
        wal_bytes,
        max_bytes,
        oldest_ms: of_log.oldest_ms,
        daemon,
        log_problem: log_problem.map(|failure| failure.in_one_line()),
        nodes: of_log.nodes,
        webhooks: of_log.webhooks,
        rates: rates(&config),
    };
    let mut screen = Screen::new();
    let written = if arguments.json {
        screen.line(text::json(&json::of(&status)))
    } else {
        show::show(&mut screen, &status)
    };
    shown(written.and_then(|()| screen.flush()))?;
    let is_bad = status.log_problem.is_some() || arguments.check && !status.is_well();
    Ok(if is_bad {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What the log says.
struct OfLog {
    bytes: Option<u64>,
    oldest_ms: Option<i64>,
    nodes: Vec<Node>,
    webhooks: Vec<WebhookHealth>,
}

impl OfLog {
    fn read(config: &Config, daemon: &Daemon, now_ms: i64) -> Result<Self, store::Error> {
        if let Daemon::Answered(answered) = daemon
            && !answered.health.healthy
        {
            // Its server may be what it complains of: that is not waited for as long as an answer may take.
            store::meet_log(&config.log.place)?;
        }
        let log = query::log(config)?;
        let log = log.as_deref();
        let nodes = match (of_daemon(daemon), log) {
            (Some(nodes), _) => nodes,
            (None, Some(log)) => log.nodes()?.into_iter().map(Node::from).collect(),
            (None, None) => Vec::new(),
        };
        Ok(Self {
            bytes: log.and_then(LogReader::bytes),
            oldest_ms: log.map(LogReader::oldest).transpose()?.flatten(),
            nodes,
            webhooks: query::webhooks(config, log, now_ms)?,
        })
    }

    /// What there is without it.
    fn unread(daemon: &Daemon) -> Self {
        Self {
            bytes: None,
            oldest_ms: None,
            nodes: of_daemon(daemon).unwrap_or_default(),
            webhooks: Vec::new(),
        }
    }
}

/// The nodes, as the daemon that answers has heard of them.
fn of_daemon(daemon: &Daemon) -> Option<Vec<Node>> {
    match daemon {
        Daemon::Answered(answered) => Some(answered.nodes.iter().map(Node::from).collect()),
        Daemon::Unasked { .. } | Daemon::Mute { .. } | Daemon::Silent(_) => None,
    }
}

fn rates(config: &Config) -> HashMap<String, f64> {
    let each = config.webhooks.iter();
    each.filter_map(|w| Some((w.name.to_string(), w.max_per_second?.per_second())))
        .collect()
}
