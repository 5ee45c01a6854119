//! Warnings that repeat: the first of them are written, the rest are summed up.
//!
//! A dead endpoint with a hundred thousand events gives a hundred thousand warnings, one for each
//! delivery that is given up, and a log full of rows that can't be sent as many. journald takes 10,000
//! lines of a priority in 30 s and drops the rest, whatever they say. So of one warning for one webhook
//! some are written in ten seconds, and then one line says how many more there were. The log has each.
//!
//! A warning that names neither a webhook nor an event is about the daemon, and is written; but all
//! together are bounded too, so that ten thousand webhooks can't do what one can't.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::json;
use tokio::time::Instant;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::voice::Voice;
use crate::model::Clock;

/// A summary tells of so long a time.
const WINDOW: Duration = Duration::from_secs(10);

/// Written of one warning for one webhook in that time.
const EACH: u64 = 20;

/// Warnings written in that time in all. With as many summaries it is 8,000 in any 30 s, and journald
/// takes 10,000.
const ALL: u64 = 1_000;

/// What has been warned of lately.
pub(super) struct Repeats {
    clock: Clock,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    /// When its first warning came.
    begun: Option<Instant>,
    written: u64,
    seen: HashMap<(Identifier, String), Seen>,
    /// Those that no entry counts.
    others: u64,
}

#[derive(Default)]
struct Seen {
    written: u64,
    more: u64,
    about: About,
}

impl Repeats {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            window: Mutex::default(),
        }
    }

    /// Whether an event is to be written; where not, it is counted.
    pub(super) fn admits(&self, event: &Event<'_>) -> bool {
        if *event.metadata().level() != Level::WARN {
            return true;
        }
        let mut about = About::default();
        event.record(&mut about);
        let now = self.clock.instant();
        let mut window = self.lock();
        window.begun.get_or_insert(now);
        let full = window.written >= ALL;
        if !about.repeats {
            window.written += u64::from(!full);
            window.others += u64::from(full);
            return !full;
        }
        let key = (event.metadata().callsite(), about.webhook.clone());
        if full && !window.seen.contains_key(&key) {
            window.others += 1;
            return false;
        }
        let seen = window.seen.entry(key).or_default();
        if full || seen.written >= EACH {
            seen.more += 1;
            seen.about = about;
            return false;
        }
        seen.written += 1;
        window.written += 1;
        true
    }

    /// How long until what was counted is to be told, if anything was warned of.
    pub(super) fn closes_in(&self) -> Option<Duration> {
        let begun = self.lock().begun?;
        let lasted = self.clock.instant().saturating_duration_since(begun);
        Some(WINDOW.saturating_sub(lasted))
    }

    /// What was counted, in lines, and a new beginning.
    pub(super) fn close(&self, voice: &Voice) -> Vec<Vec<u8>> {
        let window = std::mem::take(&mut *self.lock());
        let Some(begun) = window.begun else {
            return Vec::new();
        };
        // It may have waited for a reader.
        let lasted = self.clock.instant().saturating_duration_since(begun);
        let seconds = lasted.as_secs_f64().ceil().max(1.0);
        let mut told: Vec<_> = window.seen.into_values().filter(|s| s.more > 0).collect();
        told.sort_by(|a, b| (b.more, &a.about.webhook).cmp(&(a.more, &b.about.webhook)));
        let one = |Seen { more, about, .. }: Seen| {
            let About {
                webhook,
                message,
                given_up,
                ..
            } = about;
            let of = if webhook.is_empty() {
                String::new()
            } else {
                format!(" of webhook \"{webhook}\"")
            };
            let place = if given_up {
                ", and the view failed has them"
            } else {
                ""
            };
            let text = format!("and {more} more{of} in the last {seconds} s: {message}{place}");
            let fields = [("more", json!(more)), ("webhook", json!(webhook))];
            voice.warning(&text, &fields)
        };
        let mut lines: Vec<_> = told.into_iter().map(one).collect();
        if window.others > 0 {
            let more = window.others;
            let text = format!(
                "and {more} more warnings in the last {seconds} s, of more webhooks than are told apart"
            );
            lines.push(voice.warning(&text, &[("more", json!(more))]));
        }
        lines
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock()
    }
}

/// What a warning is about.
#[derive(Default)]
struct About {
    webhook: String,
    message: String,
    /// It names a webhook or an event, of which there are many.
    repeats: bool,
    given_up: bool,
}

impl Visit for About {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "webhook" => {
                self.webhook = value.to_owned();
                self.repeats = true;
            }
            "outcome" => self.given_up = value == "failed",
            _ => self.record_debug(field, &format_args!("{value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "webhook" => {
                self.webhook = format!("{value:?}");
                self.repeats = true;
            }
            "event_id" => self.repeats = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
