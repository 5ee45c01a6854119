//! What became of one event: what outbox and log know of it, and what follows for each webhook.
//!
//! The log says what was done. For what was not done the reasons are sought in the configuration of
//! today and in what the log knows of the webhooks (`reason.rs`); the configuration of the time when
//! the event was taken is not kept anywhere.

use std::collections::HashMap;

use super::beside::{self, Beside};
use super::identity;
use super::known::{Known, Remark};
use super::log::{is_there, log};
use super::own::Own;
use super::reason::{self, OfWebhook};
use super::wait;
use crate::config::Config;
use crate::model::{Event, EventId};
use crate::outbox::{Row, Tail, postgres};
use crate::store::{self, EventTrace};

/// The answer, and what is to know beside it.
#[derive(Debug)]
pub(crate) struct Explained {
    /// What kept an answer from being whole.
    pub remarks: Vec<Remark>,
    /// What became of the event, or why nobody knows it.
    pub story: Result<Story, Unknown>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Neither outbox nor log knows the row. `passed` says whether the daemon has passed it.
    Row {
        /// The events up to it were taken in.
        passed: bool,
        /// When the server of the outbox would have given that id, UNIX milliseconds; `None`: the outbox is a file.
        given_ms: Option<i64>,
    },
    /// The string id is none that the row, or what was made of it, has.
    Text,
}

/// What the row of the outbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowState {
    /// An event that could be sent.
    Event,
    /// One that can't be sent.
    Rejected,
    /// No longer there.
    Gone,
    /// Changed since, or another event's.
    Other,
    /// It never had one: it is an event of webhooksd itself.
    Own,
}

/// What became of an event.
#[derive(Debug)]
pub(crate) struct Story {
    /// The id of its row.
    pub id: EventId,
    /// Its name, where one is known.
    pub name: Option<String>,
    /// What its row is.
    pub row: RowState,
    /// The event, where its row could be sent.
    pub event: Option<Event>,
    /// What follows for each webhook: those of the configuration in its order, then those that only
    /// the log knows.
    pub webhooks: Vec<OfWebhook>,
    /// What there is to say beside that, by webhook.
    pub beside: HashMap<String, Beside>,
}

/// What follows from what is known.
fn told(known: Known, config: &Config) -> Story {
    let webhooks = reason::each(&config.webhooks, &known);
    let is_own = known.is_own();
    let name = known.name().map(str::to_owned);
    let (row, event) = match known.row {
        Some(Row::Event(event)) => (RowState::Event, Some(event)),
        Some(Row::Rejected(_)) => (RowState::Rejected, None),
        None if is_own => (RowState::Own, None),
        None if known.other => (RowState::Other, None),
        None => (RowState::Gone, None),
    };
    Story {
        id: known.id,
        name,
        row,
        event,
        webhooks,
        beside: HashMap::new(),
    }
}

/// What became of the event in the row `id`. Where it was asked for by the string id that a receiver
/// got, `text`, the row may by now be another event's; that is found out. `now_ms` is for what waits.
///
/// # Errors
/// The log can't be read. An outbox that can't be read is a remark.
pub(crate) fn explain(
    config: &Config,
    id: EventId,
    text: &str,
    now_ms: i64,
) -> Result<Explained, store::Error> {
    let mut remarks = Vec::new();
    let log = log(config)?;
    let log = log.as_deref();
    if log.is_none() {
        remarks.push(Remark::NoLog);
    }
    let mut known = Known {
        id,
        row: outbox_row(config, id, &mut remarks),
        other: false,
        trace: log.map_or(Ok(EventTrace::default()), |log| log.event(id))?,
        own: None,
    };
    let story = if !known.is_known() {
        let server = config.outbox.server.as_ref();
        Err(Unknown::Row {
            passed: known.is_taken(),
            given_ms: server.map(|_| postgres::given_ms(id)),
        })
    } else if identity::resolve_cursor(&mut known, text, log, &mut remarks)? {
        if let (Some(log), Some(name), true) = (log, known.name(), known.is_own()) {
            known.own = Own::read((id, name), &known.trace, log)?;
        }
        let beside = match log {
            Some(log) => beside::of(&known.trace.deliveries, config, log, now_ms)?,
            None => HashMap::new(),
        };
        let mut story = Story {
            beside,
            ..told(known, config)
        };
        if let Some(log) = log {
            wait::fill_in(&mut story.webhooks, config, log, now_ms)?;
        }
        Ok(story)
    } else {
        Err(Unknown::Text)
    };
    Ok(Explained { remarks, story })
}

fn outbox_row(config: &Config, id: EventId, remarks: &mut Vec<Remark>) -> Option<Row> {
    let of = &config.outbox;
    if let Some(server) = &of.server {
        let tail = postgres::Tail::open(server, of.max_data_bytes);
        let row = tail.and_then(|mut tail| tail.row(id));
        return row.unwrap_or_else(|error| {
            remarks.push(Remark::Outbox(error));
            None
        });
    }
    let path = &of.path;
    if !is_there(path) {
        remarks.push(Remark::NoOutbox(path.clone()));
        return None;
    }
    let row = Tail::open(path, of.max_data_bytes).and_then(|mut tail| tail.row(id));
    row.unwrap_or_else(|error| {
        remarks.push(Remark::Outbox(error));
        None
    })
}
