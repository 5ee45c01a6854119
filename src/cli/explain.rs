//! `webhooksd explain`: what became of one event, webhook by webhook, and why.
//!
//! The answer is `query`'s; so are the words for it. Reasons are by today's
//! configuration, and the help says so.

use std::path::Path;
use std::process::ExitCode;

use super::screen::{Look, Screen};
use super::table::{Cell, Column, Layout};
use super::{Ended, Failure, chain, load, note, text, when};
use crate::dialect::{event_id_text, row_id_of};
use crate::model::clock::utc;
use crate::model::{Clock, Dialect, EventId, own};
use crate::query::{self, Remark, RowState, Story, Tone, Unknown};

/// Says what became of an event
///
/// One line for each webhook: delivered, pending, failed, cancelled, or why it was not sent, by
/// today's configuration. Ends with 1 when neither outbox nor log knows the event.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd explain 1024
  webhooksd explain evt_01f3t5dhnm00000000401hjdys")]
pub(super) struct Arguments {
    /// The id of the outbox row, or the `evt_...` or `evt-...` that a receiver got
    #[arg(value_name = "EVENT_ID")]
    event: String,
}

/// A server's clock may be ahead of this machine's.
const LONGEST_OFF_MS: i64 = 3_600_000;

/// The second day of 2026: ids below are those of a counter, as in a file, and not of a clock.
const SMALL_MS: i64 = 1_767_312_000_000;

pub(super) fn explain(path: &Path, arguments: &Arguments) -> Ended {
    let typed = &arguments.event;
    let Some(id) = row_id_of(typed) else {
        let hint = "an event's id is the id of its outbox row, or an evt_... or evt-... id that \
                    webhooksd has sent";
        return Err(Failure::text(format!("{typed:?} is no event's id"))
            .hint(Some(hint))
            .code(2));
    };
    let config = load(path)?;
    let now_ms = Clock::system().now_ms();
    let explained = query::explain(&config, id, typed, now_ms)?;
    for remark in &explained.remarks {
        remarked(remark, id);
    }
    let story = explained
        .story
        .map_err(|why| unknown(why, (id, typed), now_ms))?;
    show(&story, now_ms)?;
    Ok(ExitCode::SUCCESS)
}

fn remarked(remark: &Remark, id: EventId) {
    match remark {
        Remark::NoLog => note("there is no log yet: nothing was taken from the outbox"),
        Remark::NoOutbox(path) => note(format_args!(
            "there is no outbox at {path:?}: by the log alone"
        )),
        Remark::Outbox(error) => note(format_args!("{}: by the log alone", chain(error))),
        Remark::HadTheId(name) => note(format_args!(
            "an event {} had the id {id} before, and is in the log: the outbox was put back or exchanged \
             since, or the row was changed",
            text::line(name),
        )),
        Remark::Earlier(name, generation) => note(format_args!(
            "an event {} had the id {id} before the outbox was put back or its counter set back: \
             SELECT * FROM delivery WHERE event_id = {id} AND generation = {generation}",
            text::line(name),
        )),
    }
}

fn unknown(why: Unknown, (id, typed): (EventId, &str), now_ms: i64) -> Failure {
    match why {
        Unknown::Row { passed, given_ms } => {
            let failure = Failure::text(format!("neither outbox nor log knows event {id}"));
            failure.hint(Some(unknown_row(id, passed, given_ms, now_ms)))
        }
        Unknown::Text => {
            let typed = typed.to_ascii_lowercase();
            let text = format!("no event has the id {typed}: row {id} is another event");
            Failure::text(text).hint(Some(
                "the outbox was put back or exchanged after that id was sent, or it is another installation's",
            ))
        }
    }
}

/// Where a row may be that nobody knows. Ids of a server's rows have gaps, and say when they were given.
fn unknown_row(id: EventId, passed: bool, given_ms: Option<i64>, now_ms: i64) -> String {
    if own::is_id(id) {
        return "it is the id of an event of webhooksd itself: the log no longer has it, or it is another log's".into();
    }
    let gone =
        "it was taken, and is older than both keep; or no webhook wanted it and its row is gone";
    let never = "its row is not committed, or was never written";
    let Some(given_ms) = given_ms else {
        return if passed { gone } else { never }.to_owned();
    };
    let (at, from_now) = (utc(given_ms), when::from_now(given_ms, now_ms));
    let by_clock = "the ids of an outbox in PostgreSQL are given by the server's clock";
    if given_ms - LONGEST_OFF_MS > now_ms {
        format!("{by_clock}, and this one is of {at}, which is yet to come: no row has had it")
    } else if given_ms < SMALL_MS {
        format!(
            "{by_clock}, and none of them is so small; in a file that was the outbox before it may have been one"
        )
    } else {
        let where_is_it = if passed { gone } else { never };
        format!(
            "{by_clock}, and this one is of {at} ({from_now}): {where_is_it}; or no row ever had it"
        )
    }
}

const COLUMNS: [Column; 2] = [Column::fixed("WEBHOOK"), Column::fixed("WHAT BECAME OF IT")];

fn show(story: &Story, now_ms: i64) -> std::io::Result<()> {
    let mut screen = Screen::new();
    screen.line(headline(story, now_ms))?;
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for webhook in &story.webhooks {
        let beside = story.beside.get(&webhook.webhook);
        let (words, tone) = query::words(webhook, beside, now_ms);
        let look = match tone {
            Tone::Good => Look::Good,
            Tone::Warning => Look::Warning,
            Tone::Bad => Look::Bad,
            Tone::Dim => Look::Dim,
        };
        rows.push(vec![
            webhook.webhook.clone().into(),
            Cell::new(text::line(&words), look),
        ]);
    }
    if rows.is_empty() {
        screen.line("there are no webhooks")?;
        return screen.flush();
    }
    screen.line("")?;
    let layout = Layout::of(&COLUMNS, &rows, None);
    let colours = screen.colours();
    screen.line(layout.head(colours))?;
    for row in &rows {
        screen.line(layout.row(row, colours))?;
    }
    screen.flush()
}

fn headline(story: &Story, now_ms: i64) -> String {
    let name = text::line(story.name.as_deref().unwrap_or("?"));
    let mut line = format!("event {} {name}", story.id);
    let Some(event) = &story.event else {
        line.push_str(match story.row {
            RowState::Other => {
                "; the row that has its id in the outbox now was changed since, or is another event's"
            }
            RowState::Gone => "; its row is no longer in the outbox",
            RowState::Own => ", which webhooksd itself has made; it has no row in the outbox",
            RowState::Event | RowState::Rejected => "; its row can't be sent",
        });
        return line;
    };
    let at = utc(event.time_ms);
    let age = when::from_now(event.time_ms, now_ms);
    line.push_str(&format!(", {at} ({age})"));
    if let Some(tenant) = &event.tenant {
        line.push_str(&format!(", tenant {}", text::line(tenant)));
    }
    line.push_str(&format!(
        "\n{} in bold-factory and standard-webhooks, {} in openboxes-lift",
        event_id_text(Dialect::BoldFactory, event),
        event_id_text(Dialect::OpenboxesLift, event)
    ));
    line
}
