//! `webhooksd replay`: events of the outbox again, from a point in time, or from a row on.
//!
//! The daemon does it and goes on whether or not this command watches; the command shows how far it
//! is. A replay makes new deliveries by today's configuration, so a webhook that is newer than the
//! events gets them too; the ids of the events stay what they were.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::client::Client;
use super::screen::Progress;
use super::when::{self, When};
use super::{Ended, Failure, known_webhook, load, note, open_log, say, text};
use crate::config::Config;
use crate::model::{Clock, own};

/// Sends the events of the outbox again, from a point in time or a row on
///
/// To all webhooks that want them by today's configuration, or to one. Event ids stay the same.
/// Interrupting the command does not stop the daemon: the replay goes on.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd replay --since 2026-03-01T12:00:00Z --dry-run
  webhooksd replay --since 2h --webhook search-index
  webhooksd replay --since 3d --until 1d --event 'stockMovement.*'
  webhooksd replay --from-id 1024 --webhook search-index")]
pub(super) struct Arguments {
    /// From the first event of that time on: 30m, 2h, 3d ago, or a time (ISO 8601)
    #[arg(long, value_name = "TIME", value_parser = when::parse, required_unless_present = "from_id")]
    since: Option<When>,
    /// From that row of the outbox on, whatever time the rows carry
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..), conflicts_with = "since")]
    from_id: Option<i64>,
    /// Only events before that time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<When>,
    /// Only to this webhook
    #[arg(long, short, value_name = "NAME")]
    webhook: Option<String>,
    /// Only events of such names; * is any run of characters
    #[arg(long, short, value_name = "PATTERN")]
    event: Option<String>,
    /// Only says how many deliveries that makes
    #[arg(long)]
    dry_run: bool,
}

#[derive(Deserialize)]
struct Begun {
    replay: Option<Value>,
    matched: i64,
    /// Events since then that the outbox no longer keeps, about.
    #[serde(default)]
    pruned: i64,
}

#[derive(Deserialize)]
struct Going {
    matched: i64,
    done: i64,
    finished: bool,
    error: Option<String>,
}

/// Between two questions how far it is.
const ASK: Duration = Duration::from_millis(500);

pub(super) fn replay(path: &Path, arguments: &Arguments) -> Ended {
    let config = load(path)?;
    if let Some(name) = &arguments.webhook {
        known_webhook(&config, open_log(&config).ok().as_deref(), name)?;
    }
    let now_ms = Clock::system().now_ms();
    when::window(arguments.since, arguments.until, now_ms)?;
    if asks_for_own(&config, arguments) {
        note("webhooksd's own events are not replayed: they have no row in the outbox");
    }
    let client = Client::of(&config)?;
    let body = body(arguments, now_ms);
    let begun: Begun = client.post("/replay", &body)?.json()?;
    let deliveries = text::deliveries(begun.matched);
    if begun.pruned > 0 {
        note(format_args!(
            "about {} of {} are no longer in the outbox",
            text::counted(begun.pruned, "event"),
            match arguments.from_id {
                Some(_) => "those",
                None => "that time",
            }
        ));
    }
    let Some(replay) = begun.replay.filter(|_| !arguments.dry_run) else {
        say(format!("{deliveries} would be made"))?;
        return Ok(ExitCode::SUCCESS);
    };
    // An id is a number or a word; either is safe in a path only without a slash.
    let id = replay
        .as_str()
        .map_or_else(|| replay.to_string(), str::to_owned);
    let id: String = id
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    note(format_args!(
        "replay {id}: {deliveries}; Ctrl-C ends this command, the daemon goes on"
    ));
    let done = watch(&client, &format!("/replays/{id}"))?;
    let done = text::deliveries(done);
    say(format!("{done} made; `webhooksd logs --follow` shows them"))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether events of webhooksd itself are among what is asked for by name.
fn asks_for_own(config: &Config, arguments: &Arguments) -> bool {
    if let Some(event) = &arguments.event {
        return own::is_reserved(event);
    }
    let mut webhooks = config.webhooks.iter();
    let webhook = arguments.webhook.as_ref();
    webhook.is_some_and(|name| webhooks.any(|w| *w.name == **name && w.asks_for_own()))
}

fn body(arguments: &Arguments, now_ms: i64) -> Value {
    let mut body = Map::new();
    if let Some(since) = arguments.since {
        body.insert("since".into(), json!(since.ms(now_ms)));
    }
    if let Some(id) = arguments.from_id {
        body.insert("from_id".into(), json!(id));
    }
    if let Some(until) = arguments.until {
        body.insert("until".into(), json!(until.ms(now_ms)));
    }
    for (key, text) in [("webhook", &arguments.webhook), ("event", &arguments.event)] {
        if let Some(text) = text {
            body.insert(key.into(), json!(text));
        }
    }
    if arguments.dry_run {
        body.insert("dry_run".into(), json!(true));
    }
    Value::Object(body)
}

/// Shows how far the replay is until it has ended; how many deliveries it has made.
fn watch(client: &Client, target: &str) -> Result<i64, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.map_err(|error| Failure::new(&error))?;
    runtime.block_on(async {
        let mut progress = Progress::new();
        let mut ticks = interval(ASK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let going: Going = client.get(target)?.json()?;
            if let Some(error) = going.error {
                return Err(Failure::text(format!(
                    "the replay ended: {}",
                    text::line(&error)
                )));
            }
            if going.finished {
                return Ok(going.done);
            }
            progress.show(format!(
                "{} of {}",
                text::grouped(going.done),
                text::deliveries(going.matched)
            ));
        }
    })
}
