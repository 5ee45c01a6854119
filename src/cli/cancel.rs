//! `webhooksd cancel`: pending deliveries end without being sent, by their ids or by their webhook.
//!
//! The daemon does it, for it alone knows what it has in hand. What has ended already is not undone.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::bulk::{self, Words};
use super::client::{self, Client};
use super::when::{self, When};
use super::{Ended, Failure, known_webhook, load, open_log};
use crate::model::Clock;

/// Ends pending deliveries
///
/// They are not sent any more, and stand in the log as cancelled; `redeliver ID` sends one all the same. An
/// attempt that has begun already ends and is recorded: its success counts, its failure is not tried again.
/// An id that has ended is an error; but one that was given up and holds its line, by `if_failed = "hold"`, lets go
/// of it: it stays failed, and the next goes.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd cancel 4711 4712
  webhooksd cancel --webhook erp --dry-run
  webhooksd cancel --webhook erp --since 2h --until 30m")]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(super) struct Arguments {
    /// Deliveries, by the `delivery_id` of `logs --json` and of the log's views
    #[arg(value_name = "ID", group = "which", value_parser = clap::value_parser!(i64).range(1..))]
    ids: Vec<i64>,
    /// All that is pending for this webhook now, without tests
    #[arg(long, short, value_name = "NAME", group = "which")]
    webhook: Option<String>,
    /// Only those made since then: 30m, 2h, 3d ago, or a time (ISO 8601)
    #[arg(long, value_name = "TIME", value_parser = when::parse, conflicts_with = "ids")]
    since: Option<When>,
    /// Only those made before then
    #[arg(long, value_name = "TIME", value_parser = when::parse, conflicts_with = "ids")]
    until: Option<When>,
    /// Only says how many there are
    #[arg(long, conflicts_with = "ids")]
    dry_run: bool,
}

const WORDS: Words = Words {
    done: "cancelled",
    would: "would be cancelled",
    told: "cancelled",
    again: "run the command again: it goes on with what is still pending",
};

pub(super) fn cancel(path: &Path, arguments: &Arguments) -> Ended {
    let config = load(path)?;
    if let Some(name) = &arguments.webhook {
        known_webhook(&config, open_log(&config).ok().as_deref(), name)?;
    }
    let now_ms = Clock::system().now_ms();
    let window = when::window(arguments.since, arguments.until, now_ms)?;
    let body = body(arguments, window);
    let asked = Client::of(&config).and_then(|client| client.post("/cancel", &body));
    let answer = asked.map_err(|error| match error {
        client::Error::Connect { .. } => Failure::new(&error).hint(Some(
            "the daemon alone ends deliveries; while it does not run none is sent: `webhooksd run`",
        )),
        error => error.into(),
    })?;
    bulk::heard(answer, &WORDS, arguments.dry_run)
}

fn body(arguments: &Arguments, window: [Option<i64>; 2]) -> Value {
    let Some(webhook) = &arguments.webhook else {
        return json!({ "ids": arguments.ids });
    };
    let mut body = Map::new();
    body.insert("webhook".into(), json!(webhook));
    for (key, time_ms) in ["since", "until"].into_iter().zip(window) {
        if let Some(time_ms) = time_ms {
            body.insert(key.into(), json!(time_ms));
        }
    }
    if arguments.dry_run {
        body.insert("dry_run".into(), json!(true));
    }
    Value::Object(body)
}
