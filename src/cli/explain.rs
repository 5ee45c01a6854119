//! `webhooksd explain`: what became of one event, webhook by webhook, and why.
//!
//! The log says what was done. For what was not done the reasons are sought in the configuration of
//! today and in what the log knows of the webhooks; the configuration of the time when the event was
//! taken is not kept anywhere, and the answer says "by today's configuration". The words are in
//! `explain/reason.rs`.

mod reason;
mod standing;

use std::path::Path;
use std::process::ExitCode;

use super::screen::{Look, Screen};
use super::table::{Cell, Column, Layout};
use super::{Ended, Failure, chain, is_there, load, note, open_log, text, when};
use crate::config::Config;
use crate::dialect::{event_id_text, row_id_of};
use crate::model::clock::utc;
use crate::model::{Clock, Dialect, Event};
use crate::outbox::{Row, Tail};
use crate::store::EventTrace;

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

/// An event, as far as outbox and log know it.
struct Known {
    id: i64,
    /// The row of the outbox, where it is still there.
    row: Option<Row>,
    /// The row under that id is another than the event that is told of here.
    other: bool,
    /// What the log has; empty where there is no log.
    trace: EventTrace,
    now_ms: i64,
}

impl Known {
    fn event(&self) -> Option<&Event> {
        match &self.row {
            Some(Row::Event(event)) => Some(event),
            _ => None,
        }
    }

    /// The event's name, from wherever it is known.
    fn name(&self) -> Option<&str> {
        let row = self.row.as_ref().map(|row| match row {
            Row::Event(event) => &*event.name,
            Row::Unsendable(rejected) => &*rejected.event,
        });
        let delivery = self.trace.deliveries.first().map(|d| &*d.event);
        let rejected = self.trace.rejected.as_ref().map(|r| &*r.event);
        row.or(delivery).or(rejected)
    }

    fn is_known(&self) -> bool {
        self.row.is_some() || !self.trace.deliveries.is_empty() || self.trace.rejected.is_some()
    }
}

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
    let log = if is_there(&config.log.path) {
        Some(open_log(&config)?)
    } else {
        note(format_args!(
            "there is no log yet: nothing was taken from the outbox"
        ));
        None
    };
    let mut known = Known {
        id,
        row: outbox_row(&config, id),
        other: false,
        trace: log
            .as_ref()
            .map_or(Ok(EventTrace::default()), |log| log.event(id))?,
        now_ms: Clock::system().now_ms(),
    };
    if !known.is_known() {
        return Err(unknown(&known));
    }
    standing::settle(&mut known, typed, log.as_ref())?;
    show(&config, &known)?;
    Ok(ExitCode::SUCCESS)
}

/// The row of the outbox; an outbox that can't be read is told and is no obstacle.
fn outbox_row(config: &Config, id: i64) -> Option<Row> {
    let path = &config.outbox.path;
    if !is_there(path) {
        note(format_args!(
            "there is no outbox at {path:?}: by the log alone"
        ));
        return None;
    }
    let row = Tail::open(path, config.outbox.max_data_bytes).and_then(|mut tail| tail.row(id));
    row.unwrap_or_else(|error| {
        note(format_args!("{}: by the log alone", chain(&error)));
        None
    })
}

fn unknown(known: &Known) -> Failure {
    let id = known.id;
    let text = format!("neither outbox nor log knows event {id}");
    match known.trace.cursor {
        Some((_, taken)) if id <= taken => Failure::text(text).hint(Some(
            "it was taken, and is older than both keep; or no webhook wanted it and its row is gone",
        )),
        _ => Failure::text(text).hint(Some("its row is not committed, or was never written")),
    }
}

const COLUMNS: [Column; 2] = [Column::fixed("WEBHOOK"), Column::fixed("WHAT BECAME OF IT")];

fn show(config: &Config, known: &Known) -> std::io::Result<()> {
    let mut screen = Screen::new();
    screen.line(headline(known))?;
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (webhook, reason) in reason::each(config, known) {
        rows.push(vec![
            webhook.into(),
            Cell::new(text::line(&reason.text), reason.look),
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

fn headline(known: &Known) -> String {
    let name = text::line(known.name().unwrap_or("?"));
    let mut line = format!("event {} {name}", known.id);
    let Some(event) = known.event() else {
        line.push_str(match known.row {
            None if known.other => {
                "; the row that has its id in the outbox now was changed since, or is another event's"
            }
            None => "; its row is no longer in the outbox",
            Some(_) => "; its row can't be sent",
        });
        return line;
    };
    let at = utc(event.time_ms);
    let age = when::from_now(event.time_ms, known.now_ms);
    line.push_str(&format!(", {at} ({age})"));
    if let Some(tenant) = &event.tenant {
        line.push_str(&format!(", tenant {}", text::line(tenant)));
    }
    line.push_str(&format!(
        "\n{} in bold-factory, {} in openboxes-lift",
        event_id_text(Dialect::BoldFactory, event),
        event_id_text(Dialect::OpenboxesLift, event)
    ));
    line
}

/// What is said of one webhook.
struct Reason {
    text: String,
    look: Look,
}
