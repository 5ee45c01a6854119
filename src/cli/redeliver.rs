//! `webhooksd redeliver`: deliveries of the log again, by their ids or by what became of them.
//!
//! The daemon does it, at a pace that spares live traffic. Without a daemon the log takes the same
//! wish by SQL, so the command prints that SQL instead of doing it: a second writer beside a daemon
//! that is only out of reach would be a surprise.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::bulk::{self, Words};
use super::by_hand::by_hand;
use super::client::{self, Client};
use super::when::{self, When};
use super::{Ended, Failure, known_webhook, load, open_log};
use crate::config::Config;
use crate::model::Clock;

/// Sends deliveries of the log again
///
/// The same bytes and the same event id; URL and secret are today's. A delivery that was sent again
/// already is not taken up a second time by --failed or --cancelled, so an interrupted command is
/// simply run again; but for one that holds its line by `if_failed = "hold"`, until it is delivered or let go.
///
/// Each goes when it is asked for: with `in_order` too they are in flight together, in no order. To keep one, send them
/// one after the other by their ids.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd redeliver 4711 4712
  webhooksd redeliver --failed --webhook erp --since 2h --dry-run
  webhooksd redeliver --failed --webhook erp --since 2h
  webhooksd redeliver --cancelled --webhook newsletter")]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(super) struct Arguments {
    /// Deliveries, by the `delivery_id` of `logs --json` and of the log's views
    #[arg(value_name = "ID", group = "which", value_parser = clap::value_parser!(i64).range(1..))]
    ids: Vec<i64>,
    /// Those given up, without tests
    #[arg(long, group = "which")]
    failed: bool,
    /// Those cancelled because their webhook was inactive or had left the configuration, not by `cancel`
    #[arg(long, group = "which")]
    cancelled: bool,
    /// Only this webhook's
    #[arg(long, short, value_name = "NAME", conflicts_with = "ids")]
    webhook: Option<String>,
    /// Only those that ended since then: 30m, 2h, 3d ago, or a time (ISO 8601)
    #[arg(long, value_name = "TIME", value_parser = when::parse, conflicts_with = "ids")]
    since: Option<When>,
    /// Only those that ended before then
    #[arg(long, value_name = "TIME", value_parser = when::parse, conflicts_with = "ids")]
    until: Option<When>,
    /// Only says how many there are
    #[arg(long, conflicts_with = "ids")]
    dry_run: bool,
}

const WORDS: Words = Words {
    done: "queued",
    would: "would be sent again",
    told: "queued to be sent again; `webhooksd logs --follow` shows them",
    again: "run the command again: what was sent again is not taken up twice",
};

pub(super) fn redeliver(path: &Path, arguments: &Arguments) -> Ended {
    let config = load(path)?;
    if let Some(name) = &arguments.webhook {
        known_webhook(&config, open_log(&config).ok().as_deref(), name)?;
    }
    let now_ms = Clock::system().now_ms();
    let window = when::window(arguments.since, arguments.until, now_ms)?;
    let asked =
        Client::of(&config).and_then(|client| client.post("/redeliver", &body(arguments, window)));
    let answer = match asked {
        Ok(answer) => answer,
        Err(error @ (client::Error::NoSection | client::Error::Connect { .. })) => {
            return Err(by_sql(&error, &config, arguments, window));
        }
        Err(error) => return Err(error.into()),
    };
    bulk::heard(answer, &WORDS, arguments.dry_run)
}

fn body(arguments: &Arguments, window: [Option<i64>; 2]) -> Value {
    if !arguments.ids.is_empty() {
        return json!({ "ids": arguments.ids });
    }
    let kind = if arguments.failed {
        "failed"
    } else {
        "cancelled"
    };
    let mut body = Map::new();
    body.insert(kind.into(), json!(true));
    if let Some(webhook) = &arguments.webhook {
        body.insert("webhook".into(), json!(webhook));
    }
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

/// No daemon can be asked: the SQL that does it, which the next daemon to run carries out.
fn by_sql(
    error: &client::Error,
    config: &Config,
    arguments: &Arguments,
    window: [Option<i64>; 2],
) -> Failure {
    let hint = format!(
        "without the daemon SQL does it, and the daemon sends them once it runs:\n\
         {} \"{}\"",
        by_hand(&config.log.place),
        sql(arguments, window)
    );
    Failure::new(error).hint(Some(hint))
}

fn sql(arguments: &Arguments, [since, until]: [Option<i64>; 2]) -> String {
    let mut sql =
        String::from("INSERT INTO redelivery (delivery_id) SELECT id FROM delivery d WHERE ");
    if arguments.ids.is_empty() {
        let state = if arguments.failed {
            "failed"
        } else {
            "cancelled"
        };
        sql.push_str(&format!("state = '{state}' AND origin <> 'test'"));
        if arguments.cancelled {
            // What a person cancelled stays so.
            sql.push_str(
                " AND NOT EXISTS (SELECT 1 FROM ended e WHERE e.id = d.id AND e.reason = 1)",
            );
        }
        if let Some(webhook) = &arguments.webhook {
            // The name is one of the configuration: a-z, 0-9 and -.
            sql.push_str(&format!(" AND webhook = '{webhook}'"));
        }
        if let Some(since) = since {
            sql.push_str(&format!(" AND finished_at >= {since}"));
        }
        if let Some(until) = until {
            sql.push_str(&format!(" AND finished_at < {until}"));
        }
        sql.push_str(if arguments.failed {
            " AND id IN (SELECT delivery_id FROM failed)"
        } else {
            " AND NOT EXISTS (SELECT 1 FROM redelivery r WHERE r.delivery_id = d.id)"
        });
    } else {
        let ids: Vec<String> = arguments.ids.iter().map(i64::to_string).collect();
        sql.push_str(&format!("id IN ({})", ids.join(", ")));
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: [Option<i64>; 2] = [Some(4_000), Some(9_000)];

    fn arguments() -> Arguments {
        Arguments {
            ids: Vec::new(),
            failed: true,
            cancelled: false,
            webhook: Some("erp".into()),
            since: Some(When::Ago(1_000)),
            until: Some(When::At(9_000)),
            dry_run: true,
        }
    }

    #[test]
    fn the_body_says_what_was_typed() {
        assert_eq!(
            body(&arguments(), WINDOW),
            json!({"failed": true, "webhook": "erp", "since": 4_000, "until": 9_000, "dry_run": true})
        );
        let ids = Arguments {
            ids: vec![4, 2],
            ..arguments()
        };
        assert_eq!(body(&ids, [None; 2]), json!({"ids": [4, 2]}));
    }

    #[test]
    fn the_sql_says_the_same() {
        let sql_text = sql(&arguments(), WINDOW);
        assert!(
            sql_text.contains("state = 'failed' AND origin <> 'test' AND webhook = 'erp' AND finished_at >= 4000 AND finished_at < 9000"),
            "{sql_text}"
        );
        assert!(
            sql_text.ends_with(" AND id IN (SELECT delivery_id FROM failed)"),
            "{sql_text}"
        );
    }
}
