//! Numbers, spans and times as a person reads them: `1,234 deliveries`, `5 min ago`.
//!
//! Everything is UTC. How times are typed is `when`'s.

use super::clock::utc;
use super::when::{SECOND_MS, UNITS};

/// Digits in groups of three: 1,234,567.
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: `1 event`, `2,000 events`. For nouns that take an s.
pub(crate) fn counted(count: i64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// As [`counted`], of what is counted in memory.
pub(crate) fn counted_of(count: usize, noun: &str) -> String {
    counted(i64::try_from(count).unwrap_or(i64::MAX), noun)
}

/// As [`counted`], for `delivery`, which takes none.
pub(crate) fn deliveries(count: i64) -> String {
    let noun = if count == 1 { "delivery" } else { "deliveries" };
    format!("{} {noun}", grouped(count))
}

/// A span for people, in its largest unit: `12 s`, `5 min`, `3 h`, `2 d`.
pub(crate) fn span(ms: i64) -> String {
    let ms = ms.max(0);
    let unit = UNITS.iter().find(|(_, _, unit_ms)| ms >= *unit_ms);
    unit.map_or_else(
        || "0 s".to_owned(),
        |(_, read, unit_ms)| format!("{} {read}", ms / unit_ms),
    )
}

/// How long ago that was, or how far off it is: `5 min ago`, `in 8 s`.
pub(crate) fn from_now(ms: i64, now_ms: i64) -> String {
    match now_ms.saturating_sub(ms) {
        ago if ago >= SECOND_MS => format!("{} ago", span(ago)),
        ago if ago > -SECOND_MS => "now".to_owned(),
        ahead => format!("in {}", span(ahead.saturating_neg())),
    }
}

/// Until when an endpoint asked to wait.
pub(crate) fn asked_to_wait(until_ms: i64, now_ms: i64) -> String {
    let (until, from_now) = (utc(until_ms), from_now(until_ms, now_ms));
    format!("asked to wait until {until} by Retry-After ({from_now})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (-1_234_567, "-1,234,567"),
        ] {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!(counted(1, "event"), "1 event");
        assert_eq!(deliveries(1_000), "1,000 deliveries");
    }

    #[test]
    fn ages_are_told() {
        let now_ms = 1_000_000_000;
        for (ms, text) in [
            (0, "now"),
            (999, "now"),
            (1_000, "1 s ago"),
            (59_999, "59 s ago"),
            (60_000, "1 min ago"),
            (7_199_999, "1 h ago"),
            (172_800_000, "2 d ago"),
            (-999, "now"),
            (-8_000, "in 8 s"),
        ] {
            assert_eq!(from_now(now_ms - ms, now_ms), text);
        }
    }
}
