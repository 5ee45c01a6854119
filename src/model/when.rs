//! Points in time as a person types them: `2h`, a date.
//!
//! Everything is UTC. What is typed as a span is so long before now; what has no offset is UTC. How they are
//! told is the commands'.

use jiff::Timestamp;
use jiff::civil;

pub(crate) const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The units of a span, the longest first: as typed, as read, and how long.
pub(crate) const UNITS: [(&str, &str, i64); 4] = [
    ("d", "d", DAY_MS),
    ("h", "h", HOUR_MS),
    ("m", "min", MINUTE_MS),
    ("s", "s", SECOND_MS),
];

/// A point in time as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// So many milliseconds before now.
    Ago(i64),
    /// At that UNIX millisecond.
    At(i64),
}

impl When {
    /// The UNIX millisecond that is meant.
    pub(crate) fn ms(self, now_ms: i64) -> i64 {
        match self {
            Self::Ago(ms) => now_ms.saturating_sub(ms),
            Self::At(ms) => ms,
        }
    }
}

/// Reads `2h`, `30m`, `3d`, or a time.
pub(crate) fn parse(text: &str) -> Result<When, String> {
    if let Some(ms) = parse_span_ms(text) {
        return Ok(When::Ago(ms));
    }
    parse_time_ms(text).map(When::At).ok_or_else(|| {
        "say how long ago (90s, 30m, 2h, 3d) or a time such as 2026-03-01T12:00:00Z".into()
    })
}

/// Reads a span such as `4s` or `2h`; `500ms` too.
pub(crate) fn parse_span_ms(text: &str) -> Option<i64> {
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
pub(crate) fn parse_time_ms(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    let time = text.parse::<civil::DateTime>().ok()?;
    let utc = jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?;
    Some(utc.as_millisecond())
}

/// The date of a moment, as a name has it: `20260301`.
pub(crate) fn date_of(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%Y%m%d").to_string()
}

/// The first millisecond of such a date.
pub(crate) fn midnight_of(date: &str) -> Option<i64> {
    let date = civil::Date::strptime("%Y%m%d", date).ok()?;
    let utc = jiff::tz::TimeZone::UTC.to_timestamp(date.to_datetime(civil::Time::midnight()));
    utc.ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
