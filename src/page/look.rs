//! What a view shows, read from the log: each of it with a bound, and none of it a count over a table.
//!
//! The log is opened anew for each request, which takes less than a millisecond: so a log that was put in
//! another's place is seen, and nothing stays open between two looks.

mod compare;
mod history;
mod nodes;

pub(super) use compare::{Compared, compared};
pub(super) use history::{OneEvent, Told, event};
pub(super) use nodes::{NodeSeen, Owners};

use super::{Page, Source, form};
use crate::config::Config;
use crate::model::{AttemptId, DeliveryId, LogPlace, Pattern, Webhook, chain};
use crate::query::{self, Attempts, Status};
use crate::store::{self, Closely, DeliveryRow, LogReader, LogRow, LogText};

/// Attempts on one page of the log.
const ROWS: usize = 50;

/// Rows of the log that are looked through for one page: ten milliseconds of them.
const LOOKED_THROUGH: usize = 10_000;

/// Attempts of a delivery that are listed, and of those so many with what was said. A dialect has 10 sends
/// at the most by default; redeliveries are deliveries of their own.
const ATTEMPTS: u32 = 100;
const WITH_TEXT: usize = 10;

/// Webhooks of a page of the overview: some 60 kB.
const WEBHOOKS: usize = 25;

/// Warnings of the configuration that are listed: `check` says all of them.
const WARNINGS: usize = 5;

const DAY_MS: i64 = 86_400_000;

/// Why there is nothing to show.
pub(super) enum Trouble {
    /// There is nothing under such an address.
    Nowhere,
    /// There is no such thing, or no longer.
    Nothing(String),
    /// What was asked is no question; why.
    Wrong(String),
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
    /// What the log has room for and how fast it grows.
    pub growth: Growth,
    /// Events of the outbox that were not taken in yet, where no daemon says it.
    pub lag: Option<i64>,
    /// What the configuration in force warns of; where no daemon says so, what the one warned of by which the page began.
    pub warnings: Vec<String>,
    /// Whether a new webhook can be tried out.
    pub has_file: bool,
    /// The nodes of a log that several share.
    pub nodes: Vec<NodeSeen>,
    /// Whose the webhooks of this page are, there.
    pub owners: Option<Owners>,
    /// The webhooks of this page, those first that somebody should look at.
    pub webhooks: Vec<Closely>,
    /// How many there are, and the place of the first that is shown.
    pub count: usize,
    pub from: usize,
    /// Whether the page acts.
    pub acts: bool,
}

/// How long the log will last, as far as that can be said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Growth {
    /// Bytes of the file for a day's attempts, at the pace of the last 24 hours; `None` where there were none.
    pub bytes_a_day: Option<u64>,
    /// Days that rows are kept; 0: for ever. `None` where no configuration says it.
    pub keep_days: Option<u32>,
    /// What it is kept below.
    pub max_bytes: Option<u64>,
    /// Bytes that the disk has left.
    pub free: Option<u64>,
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
    /// Attempts whose body, which is asked for, the log does not keep.
    pub unread: usize,
    /// Whether this is not the first page.
    pub is_later: bool,
    /// Whether the page acts.
    pub acts: bool,
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
    /// The mark of its form.
    pub once: String,
    /// Whether it is made to be handed on as a file: then nothing in it leads elsewhere.
    pub is_file: bool,
    /// How its webhook's endpoint is reached by today's configuration.
    pub way: Way,
}

/// What a request by hand needs beside what was sent: names, and no secret.
#[derive(Default)]
pub(super) struct Way {
    /// The proxy's URL.
    pub proxy: Option<String>,
    /// The files with the client certificate and its key.
    pub client: Option<[String; 2]>,
}

/// One webhook.
pub(super) struct OneWebhook {
    /// How it is doing.
    pub seen: Closely,
    /// Whose it is, in a log that several nodes share.
    pub owners: Option<Owners>,
    /// Whether past events can be judged by the file.
    pub has_file: bool,
    /// What the configuration says of it, without what may be a secret.
    pub facts: Vec<(&'static str, String)>,
    /// Whether the page acts.
    pub acts: bool,
    /// The mark of the form for a test.
    pub once: String,
}

impl Page {
    fn place(&self) -> LogPlace {
        match &self.source {
            Source::Own { config, .. } => config.log.place.clone(),
            Source::Copy(path) => LogPlace::File(path.clone()),
        }
    }

    /// Whether the log is in a database with others' schemas.
    pub(super) fn is_server(&self) -> bool {
        matches!(self.place(), LogPlace::Server(_))
    }

    /// Whether rows may come: a copy has none.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.source, Source::Own { .. })
    }

    pub(super) fn reader(&self) -> Result<Box<dyn LogReader>, Trouble> {
        let opened = match &self.source {
            Source::Own { config, .. } => query::log(config)?,
            Source::Copy(path) => Some(store::read_copy(path)?),
        };
        opened.ok_or_else(|| {
            let place = self.place();
            let path = place.shown();
            Trouble::Nothing(format!(
                "there is no log yet at {path:?}: `webhooksd run` makes it"
            ))
        })
    }

    fn config(&self) -> Option<&Config> {
        match &self.source {
            Source::Own { config, .. } => Some(config),
            Source::Copy(_) => None,
        }
    }

    fn way(&self, name: &str) -> Way {
        let configured = self
            .config()
            .into_iter()
            .flat_map(|config| &config.webhooks);
        let webhook = configured
            .into_iter()
            .find(|webhook| *webhook.name == *name);
        let proxy = webhook.and_then(|webhook| webhook.proxy.as_ref());
        let files = webhook.and_then(|webhook| webhook.client_files.as_deref());
        Way {
            proxy: proxy.map(|proxy| format!("http://{}", proxy.place())),
            client: files.map(|files| {
                files
                    .each_ref()
                    .map(|path| path.to_string_lossy().into_owned())
            }),
        }
    }

    /// Whether the configuration's file is known.
    fn has_file(&self) -> bool {
        matches!(&self.source, Source::Own { file: Some(_), .. })
    }

    /// The log's growth at the pace of its last day.
    fn growth(&self, reader: &dyn LogReader, now_ms: i64) -> Result<Growth, Trouble> {
        let (day, all) = reader.attempts_since(now_ms - DAY_MS)?;
        let place = self.place();
        let bytes = reader.bytes().unwrap_or_else(|| store::log_size(&place).0);
        let [day, all] = [day, all].map(|count| u128::try_from(count).unwrap_or(0));
        let bytes_a_day = (u128::from(bytes) * day).checked_div(all);
        let log = self.config().map(|config| &config.log);
        Ok(Growth {
            bytes_a_day: bytes_a_day.and_then(|bytes| u64::try_from(bytes).ok()),
            keep_days: log.map(|log| log.keep_days),
            max_bytes: log.and_then(|log| log.max_bytes),
            free: place.file().and_then(store::free),
        })
    }

    pub(super) fn acts(&self) -> bool {
        matches!(&self.source, Source::Own { give: Some(_), .. })
    }

    /// The time that "the last hour" is before: now, or where a copy is looked at, its newest attempt.
    pub(super) fn now_ms(&self, reader: &dyn LogReader) -> Result<i64, Trouble> {
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
    let now_ms = page.now_ms(&*reader)?;
    let find = || query::by_need(page.config(), &*reader, now_ms);
    let names = page.order.names(&page.clock, find)?;
    let shown: Vec<String> = names.iter().skip(from).take(WEBHOOKS).cloned().collect();
    let mut daemon: Option<Result<Box<Status>, String>> = match &page.source {
        Source::Own { ask, .. } => Some(ask.answer(&page.clock).map(Box::new)),
        Source::Copy(_) => None,
    };
    let config = page.config();
    let mut lag = config.and_then(|config| query::lag(config, &*reader));
    if let Some(Ok(status)) = &mut daemon {
        // By the files where they say it: the daemon's own answer may be a moment old.
        status.outbox.lag = lag.take().or(status.outbox.lag);
    }
    let warnings = match &daemon {
        Some(Ok(status)) => status.daemon.config_warnings.clone(),
        _ => own_warnings(config),
    };
    let answered = daemon.as_ref().and_then(|daemon| daemon.as_deref().ok());
    Ok(Overview {
        nodes: page.nodes(&*reader, answered)?,
        owners: page.owners(&*reader, &shown)?,
        log: page.place().shown().into_owned(),
        now_ms,
        daemon,
        bytes: match reader.bytes() {
            Some(bytes) => (bytes, 0),
            None => store::log_size(&page.place()),
        },
        oldest_ms: reader.oldest()?,
        growth: page.growth(&*reader, now_ms)?,
        lag,
        warnings,
        webhooks: query::closely(&*reader, &shown, now_ms)?,
        has_file: page.has_file(),
        count: names.len(),
        from,
        acts: page.acts(),
    })
}

fn own_warnings(config: Option<&Config>) -> Vec<String> {
    let all = config.map_or(&[][..], |config| &config.warnings);
    let mut told: Vec<String> = all.iter().take(WARNINGS).map(ToString::to_string).collect();
    if all.len() > WARNINGS {
        told.push("`webhooksd check` says all of them.".to_owned());
    }
    told
}

/// The webhook whose name stands so in an address.
pub(super) fn webhook(page: &Page, encoded: &str) -> Result<OneWebhook, Trouble> {
    let reader = page.reader()?;
    let now_ms = page.now_ms(&*reader)?;
    let name = form::decoded(encoded);
    let mut configured = page
        .config()
        .into_iter()
        .flat_map(|config| &config.webhooks);
    let configured = configured.find(|webhook| *webhook.name == *name);
    let owners = page.owners(&*reader, std::slice::from_ref(&name))?;
    let known = match configured {
        // One that the daemon does not know yet is new.
        Some(_) => query::closely(&*reader, &[name], now_ms)?,
        None => reader.closely(&[name], now_ms)?,
    };
    let seen = known.into_iter().next().ok_or_else(|| {
        let encoded = crate::model::shown::line(encoded);
        Trouble::Nothing(format!("no webhook is called {encoded}"))
    })?;
    Ok(OneWebhook {
        facts: configured.map_or_else(Vec::new, |webhook| facts(webhook)),
        seen,
        owners,
        has_file: page.has_file() && configured.is_some(),
        acts: page.acts(),
        once: page.mark(),
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
        unread: 0,
        is_later: before.is_some(),
        acts: page.acts(),
        live: None,
    };
    if !found.is_later && page.is_live() {
        found.live = Some(reader.newest_id()?);
    }
    let mut filter = match query::search(searched, page.now_ms(&*reader)?) {
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
    found.unread = newest.unread;
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
    let newest = attempts.first().map(|(row, _)| &row.webhook);
    let name = row.as_ref().map(|row| &row.webhook).or(newest);
    let way = name.map(|name| page.way(name)).unwrap_or_default();
    Ok(Delivery {
        row,
        id,
        attempts,
        acts: page.acts(),
        once: page.mark(),
        is_file: false,
        way,
    })
}

/// The body of an attempt's request, to the byte.
pub(super) fn body(page: &Page, id: AttemptId) -> Result<String, Trouble> {
    let text = page.reader()?.attempt_text(id)?;
    let body = text.and_then(|text| text.request_body);
    body.ok_or_else(|| Trouble::Nothing(format!("the log has no body of attempt {id}")))
}
