//! The journal's lines as text for people and `journalctl`.
//!
//! What `tracing-subscriber` writes with its default fields, to the byte, for a part of the work: there
//! is a line for every attempt, so a line is put together in one buffer that each thread keeps, and
//! only what needs an escape goes through a formatter. Only a text of several lines is set otherwise.
//! That takes 0.28 µs for a failed attempt's line, and a format for the `fmt` of `tracing-subscriber`
//! 0.78 µs: half a microsecond more, of the 12 that a delivery costs in all. There are no spans here, and
//! events of all crates are alike. Left out: where the lines go.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Write};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use super::priority::priority;
use crate::model::Clock;

/// What a thread keeps of its buffer: more than lines have, but for those of great errors.
const KEPT_BYTES: usize = 4 << 10;

/// All events up to a level, as lines.
pub(super) struct Text<A, W> {
    pub(super) most: Level,
    /// Lines have a priority and no time.
    pub(super) under_systemd: bool,
    pub(super) clock: Clock,
    /// Whether an event is told.
    pub(super) admits: A,
    /// Takes a line with its end, and its level.
    pub(super) take: W,
}

thread_local! {
    static LINE: RefCell<Line> = const { RefCell::new(Line::new()) };
}

impl<A, W> Subscriber for Text<A, W>
where
    A: Fn(&Event<'_>) -> bool + 'static,
    W: Fn(&[u8], Level) + 'static,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.most
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most.into())
    }

    fn event(&self, event: &Event<'_>) {
        if !(self.admits)(event) {
            return;
        }
        // A value that tells of something while it is written does so in another buffer.
        let kept = LINE.try_with(|kept| {
            kept.try_borrow_mut()
                .map(|mut line| self.tell(event, &mut line))
        });
        if !matches!(kept, Ok(Ok(()))) {
            self.tell(event, &mut Line::new());
        }
    }

    // No span is enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl<A, W: Fn(&[u8], Level)> Text<A, W> {
    fn tell(&self, event: &Event<'_>, line: &mut Line) {
        let level = *event.metadata().level();
        if self.under_systemd {
            line.text.push_str(priority(level));
        } else {
            line.push_time(self.clock.now_ms());
            line.text.push_str(match level {
                Level::ERROR => " error: ",
                Level::WARN => " warning: ",
                Level::INFO => " info: ",
                _ => " debug: ",
            });
        }
        let text = &mut line.text;
        event.record(&mut Fields { text, any: false });
        text.push('\n');
        if text.find('\n') != Some(text.len() - 1) {
            *text = self.as_lines(text, level);
        }
        (self.take)(text.as_bytes(), level);
        text.clear();
        text.shrink_to(KEPT_BYTES);
    }

    /// Text of several lines, such as an excerpt of the configuration: one event, said under one time and
    /// level, but journald wants a priority for each line. Blank lines are left out.
    fn as_lines(&self, text: &str, level: Level) -> String {
        let lines = text.split('\n').filter(|line| !line.trim().is_empty());
        let mut lines = lines.map(|line| [line, "\n"]);
        let mut whole = String::with_capacity(text.len() + 64);
        whole.extend(lines.next().into_iter().flatten());
        for line in lines {
            if self.under_systemd {
                whole.push_str(priority(level));
            }
            whole.extend(line);
        }
        whole
    }
}

/// A time as lines begin with it.
pub(super) fn time(now_ms: i64) -> String {
    let mut line = Line::new();
    line.push_time(now_ms);
    line.text
}

struct Line {
    text: String,
    /// A time to the second, `2024-11-14T09:32:17`, and that second of UNIX time.
    second: Option<(i64, String)>,
}

impl Line {
    const fn new() -> Self {
        Self {
            text: String::new(),
            second: None,
        }
    }

    /// `2024-11-14T09:32:17.123Z`; what is no time at all is 1970.
    fn push_time(&mut self, now_ms: i64) {
        let second = now_ms.div_euclid(1_000);
        let ms = now_ms.rem_euclid(1_000).unsigned_abs();
        let known = self.second.as_ref().filter(|known| known.0 == second);
        if let Some((_, until_second)) = known {
            self.text.push_str(until_second);
        } else if let Ok(time) = Timestamp::from_second(second) {
            let until_second = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            self.text.push_str(&until_second);
            self.second = Some((second, until_second));
        } else {
            return self.text.push_str("1970-01-01T00:00:00.000Z");
        }
        self.text.push('.');
        for unit in [100, 10, 1] {
            self.text.push(char::from(b'0' + (ms / unit % 10) as u8));
        }
        self.text.push('Z');
    }
}

/// Writes `message` as it is and the other fields as `name=value`, with a space between any two.
struct Fields<'a> {
    text: &'a mut String,
    any: bool,
}

impl Fields<'_> {
    fn name(&mut self, name: &str) {
        self.pad();
        self.text.push_str(name.strip_prefix("r#").unwrap_or(name));
        self.text.push('=');
    }

    fn pad(&mut self) {
        if std::mem::replace(&mut self.any, true) {
            self.text.push(' ');
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.record_debug(field, &format_args!("{value}"));
        } else if value.bytes().all(is_plain) {
            self.name(field.name());
            self.text.push('"');
            self.text.push_str(value);
            self.text.push('"');
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "message" {
            return self.record_debug(field, &value);
        }
        self.name(field.name());
        self.text.push_str(itoa::Buffer::new().format(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "message" {
            return self.record_debug(field, &value);
        }
        self.name(field.name());
        self.text.push_str(itoa::Buffer::new().format(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let shown = Obeyed(format_args!("{value}"));
        match value.source() {
            None => self.record_debug(field, &shown),
            Some(source) => {
                let (name, sources) = (field.name(), Sources(source));
                self.record_debug(field, &format_args!("{shown:?} {name}.sources={sources:?}"));
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A value that can't be written is left as far as it came.
        let written = if field.name() == "message" {
            self.pad();
            write!(Harmless(self.text), "{value:?}")
        } else {
            self.name(field.name());
            write!(self.text, "{value:?}")
        };
        written.unwrap_or_default();
    }
}

/// Printed by `{:?}` as it is.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Text for people, and nothing in it that a terminal obeys.
struct Obeyed<'a>(fmt::Arguments<'a>);

impl fmt::Debug for Obeyed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Harmless(f), "{}", self.0)
    }
}

struct Sources<'a>(&'a (dyn Error + 'static));

impl fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut list, mut next) = (f.debug_list(), Some(self.0));
        while let Some(source) = next {
            list.entry(&Obeyed(format_args!("{source}")));
            next = source.source();
        }
        list.finish()
    }
}

/// Lets everything through but what begins or is an order to a terminal, which it escapes.
struct Harmless<'a, W>(&'a mut W);

impl<W: Write> Write for Harmless<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.0.write_str(text);
        }
        for c in text.chars() {
            match c {
                '\x1b' | '\x07' | '\x08' | '\x0c' | '\x7f' => {
                    write!(self.0, "\\x{:02x}", u32::from(c))?;
                }
                '\u{80}'..='\u{9f}' => write!(self.0, "\\u{{{:x}}}", u32::from(c))?,
                _ => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
