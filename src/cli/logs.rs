//! `webhooksd logs`: the newest attempts, for people and for programs, the newest at the bottom.
//!
//! It reads the log with a read-only connection, so it needs no daemon, and follows it by looking
//! whether anything was committed. How a row looks is in `logs/show.rs`.

mod show;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::screen::Screen;
use super::when::{self, When};
use super::{Ended, Failure, known_webhook, load, note, open_log, text};
use crate::model::clock::utc;
use crate::model::{Clock, Pattern};
use crate::query::{self, Attempts};
use crate::store::LogFilter;
use show::Show;

/// Shows the newest attempts, the newest at the bottom
///
/// Without --since it looks through the newest 50,000 attempts for those that were asked for, and
/// says so where that was not enough. Times are UTC.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = concat_help())]
pub(super) struct Arguments {
    /// Only this webhook's
    #[arg(long, short, value_name = "NAME")]
    webhook: Option<String>,
    /// Only events of such names; * is any run of characters
    #[arg(long, short, value_name = "PATTERN")]
    event: Option<String>,
    /// Only attempts that were no success, those to be made again included
    #[arg(long)]
    failed: bool,
    /// Only attempts since then: 90s, 30m, 2h, 3d ago, or a time (ISO 8601, UTC without an offset)
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Option<When>,
    /// Only those for which all words hold: webhook:, event:, status:, outcome:, since:, id:, data.path:
    #[arg(
        long,
        value_name = "WORDS",
        conflicts_with_all = ["webhook", "event", "failed", "since"]
    )]
    search: Option<String>,
    /// Goes on with new attempts as they are made, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// At most so many
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 50)]
    count: usize,
    /// One JSON object a line; the shape is in --help
    #[arg(long)]
    json: bool,
    /// Headers, bodies and phases of each attempt too
    #[arg(long, short)]
    verbose: bool,
}

const EXAMPLES: &str = "Examples:
  webhooksd logs
  webhooksd logs --failed --since 2h
  webhooksd logs --webhook search-index --follow
  webhooksd logs -n 1 -v --event 'story-*'
  webhooksd logs --search 'webhook:erp status:5xx since:2h'
  webhooksd logs --search 'data.order.id:42 since:7d'
  webhooksd logs --json -n 1000 | jq -r 'select(.status == 500) | .delivery_id'";

const SHAPE: &str = "The shape of --json, version 1 (a later version may add keys; times are UTC):
  v                 1
  id                the attempt's id; grows in the order made
  time              when it began, 2026-03-01T12:00:00.000Z
  webhook           the webhook's name
  event, event_id   the event's name and id, the outbox's but for webhooksd's own events; null where the
                    delivery is gone
  delivery_id       what `redeliver` takes
  attempt           1 for the first
  outcome           \"delivered\", \"retry\" (to be made again) or \"failed\" (given up)
  status            of the answer; null where there was none
  error             why it was no success; null where it was one
  class             the kind of trouble in a word or two; null where the endpoint itself answered
  duration_ms       from the start to the end
  phases            {name_ms, connect_ms, proxy_ms, tls_ms, head_ms, body_ms}, each null where absent
  url, peer         where it went, and the address that was talked to (may be null)
  dialect, origin   bold-cms ...; \"event\", \"redelivery\", \"replay\" or \"test\"; null where gone
  note              what to know of it beside its result; absent where there is nothing
  batch             the id of the batch that it was a part of; absent where it was of none
With -v also:
  request_headers, request_body         lines of Name: value, and the body
  response_headers, response_body       null where there was no answer
  response_truncated                    whether there was more of it than was kept
  not_kept                              which of the two bodies are null for they were not kept;
                                        absent where there is none";

fn concat_help() -> String {
    format!("{EXAMPLES}\n\n{SHAPE}")
}

/// Between two looks at the log while following it.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn logs(path: &Path, arguments: &Arguments) -> Ended {
    let config = load(path)?;
    let reader = open_log(&config)?;
    let now_ms = Clock::system().now_ms();
    let filter = wanted(arguments, now_ms)?;
    if let Some(name) = &filter.webhook {
        known_webhook(&config, Some(&*reader), name)?;
    }
    let mut show = Show::new(Screen::new(), arguments.json, arguments.verbose);
    let mut attempts = Attempts::new(reader, filter);
    let newest = attempts.newest(arguments.count)?;
    show.rows(&attempts, &newest.ids)?;
    if newest.ids.is_empty() && !arguments.json && !arguments.follow {
        note("the log has no such attempt");
    }
    if newest.unread > 0 {
        let attempts = text::counted(i64::try_from(newest.unread).unwrap_or(i64::MAX), "attempt");
        note(format_args!(
            "{attempts} could not be judged by data.path: the log does not keep the body"
        ));
    }
    if let Some(stopped_at_ms) = newest.stopped_at_ms {
        note(format_args!(
            "looked back to {} only: --since TIME looks at everything since then",
            utc(stopped_at_ms)
        ));
    }
    if arguments.follow {
        return follow(&mut attempts, &mut show);
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(arguments: &Arguments, now_ms: i64) -> Result<LogFilter, Failure> {
    if let Some(words) = &arguments.search {
        return query::search(words, now_ms).map_err(|why| Failure::text(why).code(2));
    }
    Ok(LogFilter {
        webhook: arguments.webhook.clone(),
        event: arguments.event.as_deref().map(Pattern::new),
        failed: arguments.failed,
        since_ms: arguments.since.map(|since| since.ms(now_ms)),
        ..LogFilter::default()
    })
}

/// Shows new attempts until Ctrl-C, or until nobody reads any more.
fn follow(attempts: &mut Attempts, show: &mut Show) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::new(&error))?;
    runtime.block_on(async {
        tokio::select! {
            ended = go_on(attempts, show) => ended,
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
        }
    })
}

async fn go_on(attempts: &mut Attempts, show: &mut Show) -> Ended {
    loop {
        let fresh = attempts.fresh()?;
        show.rows(attempts, &fresh.ids)?;
        if fresh.more {
            tokio::task::yield_now().await;
            continue;
        }
        if show.is_closed() {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(LOOK).await;
    }
}
