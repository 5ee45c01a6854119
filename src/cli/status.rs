//! `webhooksd status`: how each webhook is doing, and whether the daemon is well.
//!
//! What is in the log is read from the log, so most of it is there without a daemon; what is in
//! flight, and whether the pipeline moves, only the daemon knows and is asked. How it looks is in
//! `status/show.rs`, the shape of `--json` in `status/json.rs`.

mod json;
mod show;

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use serde::Deserialize;

use super::client::{self, Client};
use super::screen::Screen;
use super::{Ended, Failure, is_there, load, open_log, shown, text};
use crate::config::Config;
use crate::model::Clock;
use crate::store::WebhookHealth;

/// Shows how each webhook is doing
///
/// Reads the log, and asks the daemon what is in flight; without a daemon it says so and shows the
/// rest. Rates and percentiles are of the last hour, in steps of 5 minutes; a percentile is the
/// upper edge of its bucket.
///
/// A webhook is FAILING when it is active and gave a delivery up in the last hour that nobody has
/// sent again; or when its newest attempt failed, none of the last hour was delivered, and there was
/// something to deliver in that hour or is now.
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
                      in_flight, last_reload_failed, outbox_lag}; warnings stop nothing
  daemon_problem      why it did not answer; null where it did
  log                 {bytes, wal_bytes}: the sizes of the log and of its -wal
  failing             how many webhooks are
  webhooks            by name:
    name, state       \"active\", \"inactive\", or \"new\" (not known to the daemon yet)
    failing           as above
    pending           deliveries that wait for an attempt, counted up to 100,000
    pending_more      whether there are more than that
    in_flight         requests in flight; null without a daemon
    last_success, last_failure, last_error
    hour              {attempts, failures, success_rate (0 to 1, null without attempts), p50_ms, p99_ms}
    hours             24 of {attempts, failures}, the oldest first, the last is the one that runs
    given_up          deliveries given up in the last hour and not sent again, counted up to 1,000";

fn concat_help() -> String {
    format!("{EXAMPLES}\n\n{SHAPE}")
}

/// What `GET /status` answers, as far as it is shown.
#[derive(Deserialize)]
struct Answered {
    daemon: Process,
    healthy: bool,
    #[serde(default)]
    complaints: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    outbox: Outbox,
    in_flight: i64,
    #[serde(default)]
    webhooks: Vec<InFlight>,
}

#[derive(Deserialize)]
struct Process {
    pid: i64,
    version: String,
    #[serde(default)]
    last_reload_failed: bool,
}

#[derive(Default, Deserialize)]
struct Outbox {
    lag: Option<i64>,
}

#[derive(Deserialize)]
struct InFlight {
    name: String,
    in_flight: i64,
}

/// Whether there is a daemon.
enum Daemon {
    Answered(Answered),
    /// It runs, but there is no socket to ask it over.
    Unasked {
        pid: u32,
    },
    /// Why there is none, or none that answers.
    Silent(String),
}

/// All that is shown.
struct Status {
    now_ms: i64,
    log_bytes: u64,
    wal_bytes: u64,
    daemon: Daemon,
    webhooks: Vec<WebhookHealth>,
}

impl Status {
    fn failing(&self) -> usize {
        self.webhooks.iter().filter(|w| w.is_failing()).count()
    }

    fn is_well(&self) -> bool {
        let daemon = match &self.daemon {
            Daemon::Answered(answered) => answered.healthy,
            Daemon::Unasked { .. } => true,
            Daemon::Silent(_) => false,
        };
        daemon && self.failing() == 0
    }

    fn in_flight(&self) -> Option<HashMap<&str, i64>> {
        let Daemon::Answered(answered) = &self.daemon else {
            return None;
        };
        let each = answered.webhooks.iter();
        Some(each.map(|w| (w.name.as_str(), w.in_flight)).collect())
    }
}

pub(super) fn status(path: &Path, arguments: &Arguments) -> Ended {
    let config = load(path)?;
    let now_ms = Clock::system().now_ms();
    let status = Status {
        now_ms,
        log_bytes: size(&config.log.path, ""),
        wal_bytes: size(&config.log.path, "-wal"),
        daemon: ask(&config),
        webhooks: webhooks(&config, now_ms)?,
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

fn ask(config: &Config) -> Daemon {
    let asked = Client::hurried(config)
        .map_err(Failure::from)
        .and_then(|client| client.get("/status")?.json::<Answered>());
    match asked {
        Ok(answered) => Daemon::Answered(answered),
        Err(failure) => match (&config.socket, client::holder(&config.log.path)) {
            (None, Some(pid)) => Daemon::Unasked { pid },
            (None, None) => Daemon::Silent("no process holds the lock of the log".to_owned()),
            (Some(_), Some(pid)) => {
                Daemon::Silent(format!("{}, but process {pid} has the log", failure.text))
            }
            (Some(_), None) => Daemon::Silent(failure.text),
        },
    }
}

/// The size of the log's file or of a companion, asked of the path.
fn size(log: &Path, suffix: &str) -> u64 {
    let mut path = log.as_os_str().to_owned();
    path.push(suffix);
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// What the log knows, and the webhooks of the configuration that it does not know yet.
fn webhooks(config: &Config, now_ms: i64) -> Result<Vec<WebhookHealth>, Failure> {
    let mut webhooks = match open_log(config) {
        Ok(log) => log.health(now_ms)?,
        Err(_) if !is_there(&config.log.path) => Vec::new(),
        Err(failure) => return Err(failure),
    };
    for webhook in &config.webhooks {
        if webhooks.iter().all(|known| known.name != *webhook.name) {
            webhooks.push(new(&webhook.name));
        }
    }
    webhooks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(webhooks)
}

fn new(name: &str) -> WebhookHealth {
    WebhookHealth {
        name: name.to_owned(),
        state: "new".to_owned(),
        pending: 0,
        pending_more: false,
        last_success_ms: None,
        last_failure_ms: None,
        last_error: None,
        hour: crate::store::LastHour::default(),
        hours: Default::default(),
        given_up: 0,
    }
}
