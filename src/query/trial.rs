//! A trial: which events of the outbox a webhook would get by today's file, and how that differs from what the
//! log says was made for it. Nothing is sent and nothing is written.
//!
//! Outbox and log are read in turns of some thousand events, each in a short statement, so that neither the
//! application nor the daemon waits for it. An event that the daemon has not taken yet is no difference: it
//! is sent, or not, by what runs then. Nor is one whose deliveries the log no longer keeps.

use std::collections::VecDeque;

use super::log::log;
use crate::config::Config;
use crate::filter::Judge;
use crate::model::{Event, EventId, Pattern, Webhook};
use crate::outbox::{self, Row, Tail, Trouble};
use crate::store::{self, LogReader, MadeFor};

/// Rows of the outbox read at once, and bytes of their data.
const READ: (usize, usize) = (1_000, 4 << 20);

/// The newest events of each kind that are named.
const NAMED: usize = 5;

const DAY_MS: i64 = 86_400_000;

/// What is to be judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// By this webhook's rules; as if it were active.
    pub webhook: &'a Webhook,
    /// Events from that UNIX millisecond on.
    pub since_ms: i64,
    /// So many of the newest ids at the most, whatever time their events carry.
    pub newest: Option<i64>,
    /// Events of such names only.
    pub event: Option<&'a Pattern>,
    /// The time.
    pub now_ms: i64,
}

/// Some events: how many, and the newest of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// How many.
    pub count: i64,
    /// The newest of them, in the order of their ids.
    pub newest: VecDeque<EventId>,
}

impl Group {
    fn add(&mut self, id: EventId) {
        self.count += 1;
        if self.newest.len() == NAMED {
            self.newest.pop_front();
        }
        self.newest.push_back(id);
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    /// Events that were judged.
    pub events: i64,
    /// Those that the webhook would get.
    pub matched: Group,
    /// Those that its `where` alone turns away.
    pub turned_away: Group,
    /// The same by the first rule that does not hold, in the order of the rules.
    pub by_rule: Vec<Group>,
    /// Whether there is a log.
    pub has_log: bool,
    /// How that differs from the log; `None` where the log followed another outbox than this.
    pub difference: Option<Difference>,
}

/// How it differs from what the log says was made.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// The webhook would get them, and there is no delivery.
    pub would_add: Group,
    /// There is a delivery, and the webhook would not get them.
    pub would_drop: Group,
    /// Matched, and not taken by the daemon yet.
    pub not_taken: i64,
    /// Matched, and so old that the log no longer knows.
    pub forgotten: i64,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum TrialError {
    /// The outbox can't be read.
    Outbox(outbox::Error),
    /// The log can't be read.
    Store(store::Error),
}

impl From<outbox::Error> for TrialError {
    fn from(error: outbox::Error) -> Self {
        Self::Outbox(error)
    }
}

impl From<store::Error> for TrialError {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// Judges the events that are in the outbox when it begins. `told` hears how many were judged, now and then.
///
/// # Errors
/// Outbox or log can't be read.
pub(crate) fn trial(
    config: &Config,
    asked: Asked<'_>,
    told: &mut dyn FnMut(i64),
) -> Result<Trial, TrialError> {
    if let Some(server) = &config.outbox.server {
        let trouble = Trouble::sqlite_only(server, "match");
        return Err(outbox::Error::Server(trouble).into());
    }
    let mut tail = Tail::open(&config.outbox.path, config.outbox.max_data_bytes)?;
    tail.be_patient()?;
    let log = log(config)?;
    let last_id = tail.sequence()?;
    let mut judging = Judging::new(config, asked, log, last_id)?;
    let Some(first_id) = tail.first_at_or_after(asked.since_ms)? else {
        return Ok(judging.trial);
    };
    let mut after = first_id.back(1);
    if let Some(newest) = asked.newest {
        after = after.max(last_id.back(newest));
    }
    loop {
        let batch = tail.read(after, READ.0, READ.1)?;
        judging.batch(&batch.rows, last_id)?;
        told(judging.trial.events);
        match batch.rows.last().map(Row::id) {
            Some(id) if batch.more && id < last_id => after = id,
            _ => return Ok(judging.trial),
        }
    }
}

struct Judging<'a> {
    asked: Asked<'a>,
    judge: Judge,
    log: Option<Box<dyn LogReader>>,
    forgotten_up_to: EventId,
    trial: Trial,
}

impl<'a> Judging<'a> {
    fn new(
        config: &Config,
        asked: Asked<'a>,
        log: Option<Box<dyn LogReader>>,
        newest: EventId,
    ) -> Result<Self, store::Error> {
        let (mut forgotten_up_to, mut is_followed) = (EventId::NONE, true);
        if let Some(log) = &log {
            let days = i64::from(config.log.keep_days);
            let kept_since_ms = (days > 0).then(|| asked.now_ms - days * DAY_MS);
            let may_go_early = config.log.max_bytes.is_some();
            forgotten_up_to = log.forgotten_up_to(kept_since_ms, may_go_early)?;
            // An outbox that gave fewer ids out than were taken was put back, or is another.
            is_followed = log.cursor()? <= newest;
        }
        let rules = &asked.webhook.rules;
        let trial = Trial {
            by_rule: vec![Group::default(); rules.len()],
            has_log: log.is_some(),
            difference: is_followed.then(Difference::default),
            ..Trial::default()
        };
        Ok(Self {
            asked,
            judge: Judge::new(rules),
            log,
            forgotten_up_to,
            trial,
        })
    }

    fn batch(&mut self, rows: &[Row], last_id: EventId) -> Result<(), store::Error> {
        let ids = rows.first().zip(rows.last());
        let made = match (&self.log, ids, &self.trial.difference) {
            (Some(log), Some((first, last)), Some(_)) => {
                log.made_for(&self.asked.webhook.name, &(first.id()..=last.id()))?
            }
            _ => MadeFor::default(),
        };
        for row in rows {
            if let Row::Event(event) = row
                && event.id <= last_id
                && event.time_ms >= self.asked.since_ms
                && (self.asked.event).is_none_or(|pattern| pattern.matches(&event.name))
            {
                self.event(event, &made);
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &Event, made: &MadeFor) {
        let (webhook, trial) = (self.asked.webhook, &mut self.trial);
        trial.events += 1;
        let is_named = webhook.events.iter().any(|p| p.matches(&event.name));
        let mut is_matched = is_named && webhook.wants_tenant(event.tenant.as_deref()).is_ok();
        if is_matched && let Some(rule) = self.judge.first_failing(&event.data) {
            trial.turned_away.add(event.id);
            trial.by_rule[rule].add(event.id);
            is_matched = false;
        }
        if is_matched {
            trial.matched.add(event.id);
        }
        let Some(difference) = &mut trial.difference else {
            return;
        };
        match (is_matched, made.events.contains(&event.id)) {
            (true, false) if event.id > made.cursor => difference.not_taken += 1,
            (true, false) if event.id <= self.forgotten_up_to => difference.forgotten += 1,
            (true, false) => difference.would_add.add(event.id),
            (false, true) => difference.would_drop.add(event.id),
            _ => {}
        }
    }
}
