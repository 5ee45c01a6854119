//! Warnings that repeat: the first of them are written, the rest are summed up.
//!
//! A dead endpoint with a hundred thousand events gives a hundred thousand warnings, one for each
//! delivery that is given up, and a log full of rows that can't be sent as many. journald takes 10,000
//! lines of a priority in 30 s and drops the rest, whatever they say. So of one warning for one webhook
//! some are written in ten seconds, and then one line says how many more there were. The log has each.
//!
//! All together are bounded too, so that ten thousand webhooks can't do what one can't.
//!
//! A warning that names neither a webhook nor an event is about the daemon, its files or its
//! configuration, and is said once. Those have a room of their own, in which repeats are told by their
//! text: no flood about deliveries can use it up.

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

/// Warnings about deliveries and events written in that time, of all webhooks.
const ABOUT_EVENTS: usize = 600;

/// Warnings about the daemon written in that time.
const ABOUT_DAEMON: usize = 500;

/// Texts that are counted one by one where there is no room left for a line of theirs. The lines of both
/// rooms with their summaries are 9,608 in any 30 s, which four windows may touch; journald takes 10,000.
const TEXTS: usize = 100;

/// What has been warned of lately.
pub(super) struct Repeats {
    clock: Clock,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    /// When its first warning came.
    begun: Option<Instant>,
    events: Room,
    daemon: Room,
}

/// What was warned of, of one kind.
#[derive(Default)]
struct Room {
    written: usize,
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

impl Room {
    /// Whether the warning is to be written in a room for so many lines; where not, it is counted.
    fn admits(&mut self, callsite: Identifier, about: About, room: usize) -> bool {
        let full = self.written >= room;
        // Of webhooks there are many; of texts that name none as many as the code has.
        let (name, spare) = if about.webhook.is_empty() {
            (about.message.clone(), TEXTS)
        } else {
            (about.webhook.clone(), 0)
        };
        let key = (callsite, name);
        let known = self.seen.contains_key(&key);
        if full && !known && (spare == 0 || self.seen.len() >= room + spare) {
            self.others += 1;
            return false;
        }
        let seen = self.seen.entry(key).or_default();
        if full || seen.written >= EACH {
            seen.more += 1;
            seen.about = about;
            return false;
        }
        seen.written += 1;
        self.written += 1;
        true
    }
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
        let callsite = event.metadata().callsite();
        let now = self.clock.instant();
        let mut window = self.lock();
        window.begun.get_or_insert(now);
        if about.repeats {
            window.events.admits(callsite, about, ABOUT_EVENTS)
        } else {
            window.daemon.admits(callsite, about, ABOUT_DAEMON)
        }
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
        let mut lines = Vec::new();
        for (room, of) in [
            (window.daemon, "about webhooksd itself"),
            (window.events, "of more webhooks than are told apart"),
        ] {
            let mut told: Vec<_> = room.seen.into_values().filter(|s| s.more > 0).collect();
            told.sort_by(|a, b| (b.more, &a.about.webhook).cmp(&(a.more, &b.about.webhook)));
            lines.extend(told.into_iter().map(|seen| seen.summary(voice, seconds)));
            if room.others > 0 {
                let more = room.others;
                let text = format!("and {more} more warnings in the last {seconds} s, {of}");
                lines.push(voice.warning(&text, &[("more", json!(more))]));
            }
        }
        lines
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock()
    }
}

impl Seen {
    /// The line that tells of what was not written.
    fn summary(self, voice: &Voice, seconds: f64) -> Vec<u8> {
        let Self { more, about, .. } = self;
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
