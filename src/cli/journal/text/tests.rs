//! Lines against those of `tracing-subscriber`, event by event, and against texts written down here.

use std::fmt;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use proptest::prelude::*;
use tracing::{Level, Subscriber};
use tracing_subscriber::fmt::format::{DefaultFields, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::{Line, Text};
use crate::model::Clock;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn taken(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock())).unwrap()
    }
}

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Kept {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

struct Reference;

impl<S, N> FormatEvent<S, N> for Reference
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            _ => "<7>",
        };
        let mut fields = String::new();
        context.format_fields(Writer::new(&mut fields), event)?;
        for (place, part) in fields.split('\n').enumerate() {
            if place == 0 || !part.trim().is_empty() {
                writeln!(line, "{priority}{part}")?;
            }
        }
        Ok(())
    }
}

fn ours(most: Level, under_systemd: bool, tell: impl FnOnce()) -> String {
    let kept = Kept::default();
    let lines = kept.clone();
    let text = Text {
        most,
        under_systemd,
        clock: Clock::system(),
        admits: |_: &tracing::Event<'_>| true,
        take: move |line: &[u8], _| lines.0.lock().extend_from_slice(line),
    };
    tracing::subscriber::with_default(text, tell);
    kept.taken()
}

fn reference(most: Level, tell: impl FnOnce()) -> String {
    let kept = Kept::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(most)
        .with_writer(kept.clone())
        .event_format(Reference)
        .fmt_fields(DefaultFields::new())
        .finish();
    tracing::subscriber::with_default(subscriber, tell);
    kept.taken()
}

#[derive(Debug)]
struct Failed(&'static str, Option<Box<Failed>>);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_deref().map(|error| error as _)
    }
}

/// One of each kind of value, with `text` wherever a text can be.
fn tell_everything(text: &str, number: i64) {
    let none: Option<&str> = None;
    let error = Failed("it \x1b[2J", Some(Box::new(Failed("in \u{9b}", None))));
    let error: &(dyn std::error::Error + 'static) = &error;
    let alone: &(dyn std::error::Error + 'static) = &Failed("alone\n\x7f", None);
    tracing::info!(webhook = text, number, none, some = Some(text), "delivered");
    tracing::warn!(text, r#type = text, "{text} and {number}");
    tracing::error!(
        unsigned = number.unsigned_abs(),
        small = number.to_be_bytes()[0],
        wide = i128::from(number) * 7,
        wider = u128::MAX,
        float = f64::from(number.to_be_bytes()[0]) / 3.0,
        yes = true,
        bytes = text.as_bytes(),
        shown = %text,
        debugged = ?Some(text),
        dotted.name = text,
    );
    tracing::info!(error, alone, "failed");
    tracing::info!(message = text);
    tracing::info!(message = number, after = 1);
    tracing::info!(message = number.unsigned_abs());
    tracing::info!(message = ?text, "quoted name" = 1);
    tracing::info!(before = text, message = %text, after = text);
    tracing::debug!(text, "never seen");
    tracing::info_span!("span", text).in_scope(|| tracing::info!("in a span"));
}

#[test]
fn an_attempts_line_as_it_is_written() {
    let error: Option<&str> = None;
    let lines = ours(Level::INFO, true, || {
        tracing::info!(
            webhook = "hook\u{e9}",
            event = "a.b",
            event_id = 7_i64,
            status = Some(204_u16),
            error,
            duration_ms = -3_i64,
            "delivered"
        );
        tracing::warn!(error = "a \"quote\"\\\n\t\x1b\u{7f}\u{202e}'", "given up");
    });
    assert_eq!(
        lines,
        "<6>delivered webhook=\"hook\u{e9}\" event=\"a.b\" event_id=7 status=204 duration_ms=-3\n\
         <4>given up error=\"a \\\"quote\\\"\\\\\\n\\t\\u{1b}\\u{7f}\\u{202e}'\"\n"
    );
}

#[test]
fn a_line_without_systemd_begins_with_time_and_word() {
    let told = || {
        tracing::info!("a");
        tracing::warn!("b");
        tracing::error!("c");
    };
    let lines = ours(Level::INFO, false, told);
    for (line, rest) in lines.lines().zip(["info: a", "warning: b", "error: c"]) {
        let (time, told) = line.split_once(' ').unwrap();
        assert_eq!(told, rest);
        let form = |c: char| if c.is_ascii_digit() { '0' } else { c };
        let form: String = time.chars().map(form).collect();
        assert_eq!(form, "0000-00-00T00:00:00.000Z");
        time.parse::<Timestamp>().unwrap();
    }
    assert_eq!(lines.lines().count(), 3);
    assert_eq!(ours(Level::WARN, false, told).lines().count(), 2);
}

#[test]
fn a_text_of_several_lines_has_one_time_and_level_and_no_blank_line() {
    let told = || tracing::warn!("webhooks.toml:2:1: unknown key\n\n  2 | a = 1\n   = remove it\n");
    assert_eq!(
        ours(Level::INFO, true, told),
        "<4>webhooks.toml:2:1: unknown key\n<4>  2 | a = 1\n<4>   = remove it\n"
    );
    let line = ours(Level::INFO, false, told);
    let (_, line) = line.split_once(' ').unwrap();
    assert_eq!(
        line,
        "warning: webhooks.toml:2:1: unknown key\n  2 | a = 1\n   = remove it\n"
    );
}

#[test]
fn a_line_that_is_told_while_another_is_written_is_whole() {
    let line = super::LINE.with_borrow_mut(|outer| {
        outer.text.push_str("outer");
        let inner = ours(Level::INFO, true, || tracing::info!(inner = 1, "told"));
        assert_eq!(std::mem::take(&mut outer.text), "outer");
        inner
    });
    assert_eq!(line, "<6>told inner=1\n");
}

#[test]
fn a_long_line_is_whole_and_not_kept() {
    let long = "x".repeat(1 << 20);
    let line = ours(Level::INFO, true, || tracing::info!(long));
    assert_eq!(line, format!("<6>long=\"{long}\"\n"));
    let kept = super::LINE.with_borrow(|line| line.text.capacity());
    assert!(kept <= super::KEPT_BYTES, "{kept}");
}

fn stamp(line: &mut Line, now_ms: i64) -> String {
    line.text.clear();
    line.push_time(now_ms);
    line.text.clone()
}

fn stamp_by_jiff(now_ms: i64) -> String {
    let time = Timestamp::from_millisecond(now_ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

proptest! {
    #[test]
    fn every_line_is_what_tracing_subscriber_writes(
        text: String,
        terminal in "[ -~\\x00-\\x1f\\x7f\\u{80}-\\u{9f}\"\\\\é漢\u{202e}\u{301}\u{feff}]{0,12}",
        bits in 0..64_u32, number: i64,
    ) {
        for text in [&text, &terminal] {
            let tell = || tell_everything(text, number >> bits);
            prop_assert_eq!(ours(Level::INFO, true, tell), reference(Level::INFO, tell));
        }
    }

    #[test]
    fn a_time_is_what_jiff_writes(
        from in prop_oneof![0..4_000_000_000_000_i64, any::<i64>(), Just(i64::MAX), Just(i64::MIN)],
        steps in proptest::collection::vec(-3_000..3_000_i64, 0..8),
    ) {
        let (mut line, mut now_ms) = (Line::new(), from);
        for step in steps {
            prop_assert_eq!(stamp(&mut line, now_ms), stamp_by_jiff(now_ms));
            now_ms = now_ms.saturating_add(step);
        }
    }
}
