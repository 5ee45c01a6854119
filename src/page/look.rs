//! What a view shows, read from the log: each of it with a bound, and none of it a count over a table.
//!
//! The log is opened anew for each request, which takes less than a millisecond: so a log that was put in
//! another's place is seen, and nothing stays open between two looks.

use std::path::Path;

use super::{Page, Source, form};
use crate::dialect::row_id_of;
use crate::model::{AttemptId, DeliveryId, EventId, Pattern, Webhook, chain};
use crate::query::{self, Attempts, Status};
use crate::store::{
    self, DeliveryRow, DeliveryTrace, EventTrace, LogRow, LogText, Reader, WebhookHealth,
};

/// Attempts on one page of the log.
const ROWS: usize = 50;

/// Rows of the log that are looked through for one page: ten milliseconds of them.
const LOOKED_THROUGH: usize = 10_000;

/// Attempts of a delivery that are listed, and of those so many with what was said. A dialect has 10 sends
/// at the most by default; redeliveries are deliveries of their own.
const ATTEMPTS: u32 = 100;
const WITH_TEXT: usize = 10;

/// Deliveries of an event that are listed.
const DELIVERIES: usize = 500;

/// Webhooks of a page of the overview: some 60 kB.
const WEBHOOKS: usize = 50;

/// Why there is nothing to show.
pub(super) enum Trouble {
    /// There is nothing under such an address.
    Nowhere,
    /// There is no such thing, or no longer.
    Nothing(String),
    /// The log can't be read.
    Log(String),
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        let hint = error.hint().map(|hint| format!(" ({hint})"));
        Self::Log(chain(&error) + &hint.unwrap_or_default())
    }
}

/// The first page.
pub(super) struct Overview {
    /// The log's path.
    pub log: String,
    /// The times of the last hour and day are before this UNIX millisecond.
    pub now_ms: i64,
    /// What the daemon answered, or why it did not; `None` where there is none to ask.
    pub daemon: Option<Result<Box<Status>, String>>,
    /// The log's size and that of its WAL, bytes.
    pub bytes: (u64, u64),
    /// When the oldest attempt of finished work was made, UNIX milliseconds.
    pub oldest_ms: Option<i64>,
    /// The webhooks by name, those that somebody should look at first.
    pub webhooks: Vec<WebhookHealth>,
    /// How many more there are, and from which place on.
    pub more: usize,
    pub next: usize,
    /// Whether the page acts.
    pub acts: bool,
}

/// A page of the log.
pub(super) struct Found {
    /// The search as it was typed.
    pub searched: String,
    /// Why it is none.
    pub wrong: Option<String>,
    /// The attempts, the newest first.
    pub rows: Vec<LogRow>,
    /// Where older ones are looked for.
    pub older: Option<AttemptId>,
    /// The search stopped at an attempt of that UNIX millisecond, without reaching the end.
    pub stopped_at_ms: Option<i64>,
    /// Whether this is not the first page.
    pub is_later: bool,
    /// New rows may come, behind this attempt.
    pub live: Option<AttemptId>,
}

/// One delivery.
pub(super) struct Delivery {
    /// What the log has of it; `None` where only its attempts are left.
    pub row: Option<DeliveryRow>,
    /// Its id.
    pub id: DeliveryId,
    /// Its attempts, the newest first; the first ones with what was said.
    pub attempts: Vec<(LogRow, Option<LogText>)>,
    /// Whether the page acts.
    pub acts: bool,
}

/// One webhook.
pub(super) struct OneWebhook {
    /// How it is doing.
    pub health: WebhookHealth,
    /// What the configuration says of it, without what may be a secret.
    pub facts: Vec<(&'static str, String)>,
    /// Whether the page acts.
    pub acts: bool,
}

/// One event.
pub(super) struct OneEvent {
    /// The outbox id.
    pub id: EventId,
    /// What the log has of it.
    pub trace: EventTrace,
    /// The deliveries of it that are shown, the newest first.
    pub deliveries: Vec<DeliveryTrace>,
}

impl Page {
    fn path(&self) -> &Path {
        match &self.source {
            Source::Own { config, .. } => &config.log.path,
            Source::Copy(path) => path,
        }
    }

    /// Whether rows may come: a copy has none.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.source, Source::Own { .. })
    }

    pub(super) fn reader(&self) -> Result<Reader, Trouble> {
        let opened = match &self.source {
            Source::Own { config, .. } => query::log(config)?,
            Source::Copy(path) => Some(Reader::open_copy(path)?),
        };
        opened.ok_or_else(|| {
            let path = self.path();
            Trouble::Nothing(format!(
                "there is no log yet at {path:?}: `webhooksd run` makes it"
            ))
        })
    }

    fn webhooks(&self, reader: &Reader, now_ms: i64) -> Result<Vec<WebhookHealth>, Trouble> {
        Ok(match &self.source {
            Source::Own { config, .. } => query::webhooks(config, Some(reader), now_ms)?,
            Source::Copy(_) => reader.health(now_ms)?,
        })
    }

    fn acts(&self) -> bool {
        matches!(&self.source, Source::Own { give: Some(_), .. })
    }

    /// The time that "the last hour" is before: now, or where a copy is looked at, its newest attempt.
    fn now_ms(&self, reader: &Reader) -> Result<i64, Trouble> {
        let newest = match &self.source {
            Source::Own { .. } => None,
            Source::Copy(_) => reader.newest_time()?,
        };
        Ok(newest.unwrap_or_else(|| self.clock.now_ms()))
    }
}

/// The webhooks from that place on.
pub(super) fn overview(page: &Page, from: usize) -> Result<Overview, Trouble> {
    let reader = page.reader()?;
    let now_ms = page.now_ms(&reader)?;
    let mut webhooks = page.webhooks(&reader, now_ms)?;
    let daemon = match &page.source {
        Source::Own { ask, .. } => Some(ask().map(Box::new)),
        Source::Copy(_) => None,
    };
    webhooks.sort_by_key(|webhook| !(webhook.is_failing() || webhook.pause.is_some()));
    webhooks.drain(..from.min(webhooks.len()));
    let more = webhooks.len().saturating_sub(WEBHOOKS);
    webhooks.truncate(WEBHOOKS);
    Ok(Overview {
        log: page.path().to_string_lossy().into_owned(),
        now_ms,
        daemon,
        bytes: store::size(page.path()),
        oldest_ms: reader.oldest()?,
        next: from.saturating_add(WEBHOOKS),
        webhooks,
        more,
        acts: page.acts(),
    })
}

/// The webhook whose name stands so in an address.
pub(super) fn webhook(page: &Page, encoded: &str) -> Result<OneWebhook, Trouble> {
    let reader = page.reader()?;
    let now_ms = page.now_ms(&reader)?;
    let is_named = |health: &WebhookHealth| form::encoded(&health.name) == encoded;
    let all = page.webhooks(&reader, now_ms)?.into_iter();
    let health = all.into_iter().find(is_named).ok_or_else(|| {
        let encoded = crate::model::shown::line(encoded);
        Trouble::Nothing(format!("no webhook is called {encoded}"))
    })?;
    let configured = match &page.source {
        Source::Own { config, .. } => config.webhooks.iter().find(|w| *w.name == *health.name),
        Source::Copy(_) => None,
    };
    Ok(OneWebhook {
        facts: configured.map_or_else(Vec::new, |webhook| facts(webhook)),
        health,
        acts: page.acts(),
    })
}

fn facts(webhook: &Webhook) -> Vec<(&'static str, String)> {
    let patterns: Vec<&str> = webhook.events.iter().map(Pattern::text).collect();
    let mut facts = vec![
        ("Events", patterns.join(", ")),
        ("Dialect", webhook.dialect.name().to_owned()),
    ];
    if let Some(tenants) = &webhook.tenants {
        let tenants: Vec<String> = tenants.iter().map(ToString::to_string).collect();
        facts.push(("Tenants", tenants.join(", ")));
    }
    facts.extend(webhook.rules.iter().map(|rule| ("Where", rule.to_string())));
    if let Some(rate) = webhook.max_per_second {
        facts.push(("Requests a second", rate.to_string()));
    }
    facts
}

pub(super) fn log(
    page: &Page,
    searched: &str,
    before: Option<AttemptId>,
) -> Result<Found, Trouble> {
    let reader = page.reader()?;
    let mut found = Found {
        searched: searched.to_owned(),
        wrong: None,
        rows: Vec::new(),
        older: None,
        stopped_at_ms: None,
        is_later: before.is_some(),
        live: None,
    };
    if !found.is_later && page.is_live() {
        found.live = Some(reader.newest_id()?);
    }
    let mut filter = match query::search(searched, page.now_ms(&reader)?) {
        Ok(filter) => filter,
        Err(wrong) => {
            found.wrong = Some(wrong);
            return Ok(found);
        }
    };
    filter.before = before;
    filter.looked_through = Some(LOOKED_THROUGH);
    let mut attempts = Attempts::new(reader, filter);
    let newest = attempts.newest(ROWS)?;
    found.rows = attempts.rows(&newest.ids)?;
    found.rows.reverse();
    found.stopped_at_ms = newest.stopped_at_ms;
    let last = newest.ids.first().copied();
    found.older = newest
        .stopped_at
        .or(last.filter(|_| newest.ids.len() == ROWS));
    Ok(found)
}

pub(super) fn delivery(page: &Page, id: DeliveryId) -> Result<Delivery, Trouble> {
    let reader = page.reader()?;
    let row = reader.delivery(id)?;
    let rows = reader.attempts_of(id, ATTEMPTS)?;
    if row.is_none() && rows.is_empty() {
        return Err(Trouble::Nothing(format!(
            "the log has no delivery {id}: there was none, or its days are over"
        )));
    }
    let mut attempts = Vec::with_capacity(rows.len());
    for (place, row) in rows.into_iter().enumerate() {
        let text = if place < WITH_TEXT {
            reader.attempt_text(row.id)?
        } else {
            None
        };
        attempts.push((row, text));
    }
    Ok(Delivery {
        row,
        id,
        attempts,
        acts: page.acts(),
    })
}

pub(super) fn event(page: &Page, typed: &str) -> Result<OneEvent, Trouble> {
    let unknown = || {
        let typed = crate::model::shown::line(typed);
        Trouble::Nothing(format!("the log knows no event {typed}"))
    };
    let id = row_id_of(typed).ok_or_else(unknown)?;
    let trace = page.reader()?.event(id)?;
    if trace.deliveries.is_empty() && trace.earlier.is_empty() && trace.rejected.is_none() {
        return Err(unknown());
    }
    let all = trace.deliveries.iter().chain(&trace.earlier);
    let deliveries = all.take(DELIVERIES).cloned().collect();
    Ok(OneEvent {
        id,
        trace,
        deliveries,
    })
}

/// The body of an attempt's request, to the byte.
pub(super) fn body(page: &Page, id: AttemptId) -> Result<String, Trouble> {
    let text = page.reader()?.attempt_text(id)?;
    let body = text.and_then(|text| text.request_body);
    body.ok_or_else(|| Trouble::Nothing(format!("the log has no body of attempt {id}")))
}
