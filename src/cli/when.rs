//! Points in time as a person reads them: `5 min ago`; how they are typed is `model::when`.
//!
//! Everything is UTC.

use super::Failure;
use crate::model::clock::utc;
use crate::model::when::{SECOND_MS, UNITS};
pub(super) use crate::model::when::{When, parse, parse_span_ms, parse_time_ms};

/// A window that people gave by its ends, of which either may be open.
///
/// # Errors
/// It ends before it begins: nothing could be in it, and nobody means that.
pub(super) fn window(
    since: Option<When>,
    until: Option<When>,
    now_ms: i64,
) -> Result<[Option<i64>; 2], Failure> {
    let [since, until] = [since, until].map(|when| when.map(|when| when.ms(now_ms)));
    if let (Some(from), Some(to)) = (since, until)
        && from >= to
    {
        let text = format!("--since {} is not before --until {}", utc(from), utc(to));
        let hint = "--since 2h --until 30m is from two hours ago to half an hour ago";
        return Err(Failure::text(text).hint(Some(hint)).code(2));
    }
    Ok([since, until])
}

/// A span for people, in its largest unit: `12 s`, `5 min`, `3 h`, `2 d`.
pub(super) fn span(ms: i64) -> String {
    let ms = ms.max(0);
    let unit = UNITS.iter().find(|(_, _, unit_ms)| ms >= *unit_ms);
    unit.map_or_else(
        || "0 s".to_owned(),
        |(_, read, unit_ms)| format!("{} {read}", ms / unit_ms),
    )
}

/// How long ago that was, or how far off it is: `5 min ago`, `in 8 s`.
pub(super) fn from_now(ms: i64, now_ms: i64) -> String {
    match now_ms.saturating_sub(ms) {
        ago if ago >= SECOND_MS => format!("{} ago", span(ago)),
        ago if ago > -SECOND_MS => "now".to_owned(),
        ahead => format!("in {}", span(ahead.saturating_neg())),
    }
}

/// How long an attempt or a part of it took: `0.4 ms`, `12 ms`, `3001 ms`.
pub(super) fn took(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}

/// Until when an endpoint asked to wait.
pub(super) fn asked_to_wait(until_ms: i64, now_ms: i64) -> String {
    let (until, from_now) = (utc(until_ms), from_now(until_ms, now_ms));
    format!("asked to wait until {until} by Retry-After ({from_now})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_after_it_begins() {
        let (since, until) = (Some(When::Ago(2)), Some(When::At(9)));
        assert_eq!(window(since, until, 10).ok(), Some([Some(8), Some(9)]));
        assert_eq!(window(since, None, 10).ok(), Some([Some(8), None]));
        assert!(window(until, since, 10).is_err());
        assert!(window(until, until, 10).is_err(), "nothing is in no time");
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
