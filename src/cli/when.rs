//! Points in time as a person types them and reads them: `2h`, a date, `5 min ago`.
//!
//! Everything is UTC. What is typed as a span is so long before now; what has no offset is UTC.

use jiff::Timestamp;
use jiff::civil;

use super::Failure;
use crate::model::clock::utc;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The units of a span, the longest first: as typed, as read, and how long.
const UNITS: [(&str, &str, i64); 4] = [
    ("d", "d", DAY_MS),
    ("h", "h", HOUR_MS),
    ("m", "min", MINUTE_MS),
    ("s", "s", SECOND_MS),
];

/// A point in time as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// So many milliseconds before now.
    Ago(i64),
    /// At that UNIX millisecond.
    At(i64),
}

impl When {
    /// The UNIX millisecond that is meant.
    pub(super) fn ms(self, now_ms: i64) -> i64 {
        match self {
            Self::Ago(ms) => now_ms.saturating_sub(ms),
            Self::At(ms) => ms,
        }
    }
}

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

/// Reads `2h`, `30m`, `3d`, or a time.
pub(super) fn parse(text: &str) -> Result<When, String> {
    if let Some(ms) = parse_span_ms(text) {
        return Ok(When::Ago(ms));
    }
    parse_time_ms(text).map(When::At).ok_or_else(|| {
        "say how long ago (90s, 30m, 2h, 3d) or a time such as 2026-03-01T12:00:00Z".into()
    })
}

/// Reads a span such as `4s` or `2h`; `500ms` too.
pub(super) fn parse_span_ms(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits)?;
    let unit_ms = match unit {
        "ms" => 1,
        "w" => 7 * DAY_MS,
        _ => {
            UNITS
                .iter()
                .find(|(typed, read, _)| [*typed, *read].contains(&unit))?
                .2
        }
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number: i64 = digits.parse().ok().filter(|_| plain)?;
    number.checked_mul(unit_ms)
}

/// Reads a time: with an offset, or in UTC; a date alone is its midnight.
pub(super) fn parse_time_ms(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    let time = text.parse::<civil::DateTime>().ok()?;
    let utc = jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?;
    Some(utc.as_millisecond())
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
    fn spans_and_times_are_read() {
        for (text, ms) in [
            ("90s", 90_000),
            ("30m", 1_800_000),
            ("5min", 300_000),
            ("2h", 7_200_000),
            ("3d", 259_200_000),
            ("1w", 604_800_000),
            ("0s", 0),
            ("500ms", 500),
        ] {
            assert_eq!(parse(text), Ok(When::Ago(ms)), "{text}");
        }
        for text in [
            "1970-01-02",
            "1970-01-02T00:00:00",
            "1970-01-02T01:00:00+01:00",
        ] {
            assert_eq!(parse(text), Ok(When::At(86_400_000)), "{text}");
        }
        for bad in [
            "",
            "h",
            "2",
            "2x",
            "-2h",
            "+2h",
            "2 h",
            "2.5h",
            "yesterday",
            "99999999999999999d",
            "2026-13-01",
            "2hh",
            "ü",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(When::Ago(5).ms(7), 2);
        assert_eq!(When::At(5).ms(7), 5);
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
