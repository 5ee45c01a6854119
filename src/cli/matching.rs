//! `webhooksd match`: which events of the outbox a webhook would get by the file as it is on disk.
//!
//! The answer is `query`'s; here it becomes words or JSON.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::screen::{Progress, Screen};
use super::table::{Cell, Column, Layout};
use super::when::{self, When};
use super::{Ended, Failure, load, note, say, text};
use crate::config::Config;
use crate::model::clock::utc;
use crate::model::{Clock, EventId, Pattern, Rule, Webhook};
use crate::query::{self, Asked, Group, Trial, TrialError};

/// Judges past events by the file on disk
///
/// How many events of the outbox the webhook would get, how many its `where` alone turns away and by which
/// rule, and how that differs from what was sent. Sends nothing and needs no daemon: change the file, look,
/// and then reload.
#[derive(clap::Args)]
#[command(after_help = concat_help())]
pub(super) struct Arguments {
    /// A webhook of the file; an inactive one is judged as if it were active
    #[arg(value_name = "WEBHOOK")]
    webhook: String,
    /// Only events since then: 30m, 2h, 3d ago, or a time (ISO 8601)
    #[arg(long, value_name = "TIME", value_parser = when::parse, default_value = "7d")]
    since: When,
    /// Only events of such names; * is any run of characters
    #[arg(long, short, value_name = "PATTERN", value_parser = pattern)]
    event: Option<Pattern>,
    /// One JSON object; the shape is in --help
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  webhooksd match depot
  webhooksd match depot --since 30d --event 'stockMovement.*'
  webhooksd match depot --json | jq .by_rule";

const SHAPE: &str = "The shape of --json, version 1 (a later version may add keys; times are UTC):
  v             1
  webhook       the webhook's name
  since         the time that --since means
  events        events of that time and of such names
  matched       those that the webhook would get
  turned_away   those of the right name and tenant that its `where` turns away
  by_rule       [{rule, path, count}]: the same by the first rule that does not hold, from 1
  would_add     matched, and the log has no delivery of it: what `replay` would add
  would_drop    the log has a delivery of it, and the webhook would not get it; both are null where the
                log followed another outbox
  not_taken     matched, and not taken by the daemon yet: no difference
  forgotten     matched, and so old that the log no longer says whether it was sent: no difference
  samples       {matched, turned_away, would_add, would_drop}: the ids of the newest of each, 5 at most";

fn concat_help() -> String {
    format!("{EXAMPLES}\n\n{SHAPE}")
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let fault = "a pattern is 1 to 255 of A-Z a-z 0-9 - _ . : / *";
    Pattern::read(text).ok_or_else(|| fault.into())
}

pub(super) fn matching(path: &Path, arguments: &Arguments) -> Ended {
    let config = load(path)?;
    let webhook = webhook_of(&config, &arguments.webhook)?;
    let now_ms = Clock::system().now_ms();
    let asked = Asked {
        webhook,
        since_ms: arguments.since.ms(now_ms),
        newest: None,
        event: arguments.event.as_ref(),
        now_ms,
    };
    let mut progress = Progress::new();
    let trial = query::trial(&config, asked, &mut |events| {
        progress.show(format!("{} judged", text::counted(events, "event")));
    });
    progress.clear();
    let trial = trial.map_err(|error| match error {
        TrialError::Outbox(error) => Failure::from(error),
        TrialError::Store(error) => Failure::from(error),
    })?;
    remarks(webhook, &trial);
    if arguments.json {
        say(text::json(&Shape::of(&asked, &trial)))?;
    } else {
        show(&asked, &trial)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The webhook of the file: what only the log knows has no rules to judge by.
fn webhook_of<'c>(config: &'c Config, name: &str) -> Result<&'c Webhook, Failure> {
    let mut webhooks = config.webhooks.iter();
    if let Some(webhook) = webhooks.find(|webhook| *webhook.name == *name) {
        return Ok(webhook);
    }
    super::known_webhook(config, None, name)?;
    Err(Failure::text(format!("no webhook is called {name:?}")).code(2))
}

fn remarks(webhook: &Webhook, trial: &Trial) {
    if !webhook.active {
        note("the webhook is inactive: this is what it would get if it were active");
    }
    if webhook.events.iter().any(Pattern::is_reserved) {
        note("webhooksd's own events are not judged: they have no row in the outbox");
    }
    if !trial.has_log {
        note("there is no log yet: nothing was taken from the outbox");
    }
    let Some(difference) = &trial.difference else {
        note(
            "the log followed another outbox than this, or one that was put back since: not compared",
        );
        return;
    };
    let events = |count| text::counted(count, "event");
    if difference.not_taken > 0 && trial.has_log {
        let events = events(difference.not_taken);
        note(format_args!(
            "{events} that match: not taken by the daemon yet"
        ));
    }
    if difference.forgotten > 0 {
        let events = events(difference.forgotten);
        note(format_args!(
            "{events} that match: older than what the log keeps, so whether they were sent is not known"
        ));
    }
}

const COLUMNS: [Column; 3] = [
    Column::fixed(""),
    Column::fixed("EVENTS").right(),
    Column::fixed("THE NEWEST"),
];

fn show(asked: &Asked<'_>, trial: &Trial) -> std::io::Result<()> {
    let mut screen = Screen::new();
    let since = utc(asked.since_ms);
    let events = text::counted(trial.events, "event");
    screen.line(format!("{}: {events} since {since}", asked.webhook.name))?;
    screen.line("")?;
    let mut rows = vec![row("match", &trial.matched)];
    let rules = asked.webhook.rules.iter().zip(&trial.by_rule).enumerate();
    if !asked.webhook.rules.is_empty() {
        rows.push(row("turned away by where", &trial.turned_away));
    }
    for (n, (rule, group)) in rules.filter(|(_, (_, group))| group.count > 0) {
        rows.push(row(&format!("  rule {}, {rule}", n + 1), group));
    }
    if let Some(difference) = &trial.difference {
        rows.push(row("match, and were not sent", &difference.would_add));
        rows.push(row("were sent, and do not match", &difference.would_drop));
    }
    let layout = Layout::of(&COLUMNS, &rows, None);
    let colours = screen.colours();
    screen.line(layout.head(colours))?;
    for row in &rows {
        screen.line(layout.row(row, colours))?;
    }
    screen.flush()
}

fn row(what: &str, group: &Group) -> Vec<Cell> {
    let ids: Vec<String> = group.newest.iter().map(EventId::to_string).collect();
    vec![
        text::line(what).into(),
        text::grouped(group.count).into(),
        ids.join(", ").into(),
    ]
}

#[derive(Serialize)]
struct Shape<'a> {
    v: u8,
    webhook: &'a str,
    since: String,
    events: i64,
    matched: i64,
    turned_away: i64,
    by_rule: Vec<OfRule>,
    would_add: Option<i64>,
    would_drop: Option<i64>,
    not_taken: Option<i64>,
    forgotten: Option<i64>,
    samples: Samples<'a>,
}

#[derive(Serialize)]
struct OfRule {
    rule: usize,
    path: String,
    count: i64,
}

#[derive(Serialize)]
struct Samples<'a> {
    matched: Ids<'a>,
    turned_away: Ids<'a>,
    would_add: Ids<'a>,
    would_drop: Ids<'a>,
}

/// The newest of some events; none where nothing was compared.
#[derive(Serialize)]
#[serde(transparent)]
struct Ids<'a>(Vec<&'a EventId>);

impl<'a> Ids<'a> {
    fn of(group: Option<&'a Group>) -> Self {
        Self(group.iter().flat_map(|group| &group.newest).collect())
    }
}

impl<'a> Shape<'a> {
    fn of(asked: &Asked<'a>, trial: &'a Trial) -> Self {
        let difference = trial.difference.as_ref();
        let rules = asked.webhook.rules.iter().zip(&trial.by_rule).enumerate();
        let by_rule = rules.map(|(n, (rule, group))| OfRule {
            rule: n + 1,
            path: paths(rule),
            count: group.count,
        });
        Self {
            v: 1,
            webhook: &asked.webhook.name,
            since: utc(asked.since_ms),
            events: trial.events,
            matched: trial.matched.count,
            turned_away: trial.turned_away.count,
            by_rule: by_rule.collect(),
            would_add: difference.map(|d| d.would_add.count),
            would_drop: difference.map(|d| d.would_drop.count),
            not_taken: difference.map(|d| d.not_taken),
            forgotten: difference.map(|d| d.forgotten),
            samples: Samples {
                matched: Ids::of(Some(&trial.matched)),
                turned_away: Ids::of(Some(&trial.turned_away)),
                would_add: Ids::of(difference.map(|d| &d.would_add)),
                would_drop: Ids::of(difference.map(|d| &d.would_drop)),
            },
        }
    }
}

/// The path of a rule; those of an `any`, each once.
fn paths(rule: &Rule) -> String {
    let mut paths: Vec<&str> = Vec::new();
    for condition in rule.conditions() {
        if !paths.contains(&&*condition.path.text) {
            paths.push(&condition.path.text);
        }
    }
    paths.join(", ")
}
