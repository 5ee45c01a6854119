//! Until when an answer of 429 or 503 asks to wait, by its `Retry-After` (RFC 9110, section 10.2.3).
//!
//! `bold-cms` is fixed policy and asks nobody. What is over already, or is neither a number of seconds nor a date,
//! asks for nothing. Dates are compared with our own clock, as RFC 9110 has it; days are counted as in Howard
//! Hinnant's `days_from_civil`.

use crate::model::{Dialect, Exchange};

/// An endpoint is not left alone for longer: who asks for more has made a slip, or is gone.
pub(crate) const LONGEST_HOLD_MS: i64 = 86_400_000;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Until when the answer that ended at `now_ms` asks that its webhook is not tried, UNIX milliseconds: later than
/// now, and by no more than [`LONGEST_HOLD_MS`].
#[must_use]
pub(crate) fn held_until_ms(dialect: Dialect, exchange: &Exchange, now_ms: i64) -> Option<i64> {
    let answer = exchange.result.as_ref().ok()?;
    if !matches!(answer.status, 429 | 503) || !heeds(dialect) {
        return None;
    }
    let asked = answer.headers.get_all("retry-after");
    let until_ms = asked.filter_map(|value| asked_ms(value, now_ms)).max()?;
    let longest_ms = now_ms.saturating_add(LONGEST_HOLD_MS);
    (until_ms > now_ms).then_some(until_ms.min(longest_ms))
}

fn heeds(dialect: Dialect) -> bool {
    match dialect {
        Dialect::BoldCms => false,
        Dialect::BoldFactory | Dialect::OpenboxesLift | Dialect::StandardWebhooks => true,
    }
}

fn asked_ms(value: &str, now_ms: i64) -> Option<i64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What has more digits than a number may have is far beyond the longest.
        let seconds: i64 = value.parse().unwrap_or(i64::MAX);
        return Some(now_ms.saturating_add(seconds.saturating_mul(1_000)));
    }
    date_ms(value, now_ms)
}

/// The three forms of a date, of which the last two are of old (RFC 9110, section 5.6.7).
fn date_ms(text: &str, now_ms: i64) -> Option<i64> {
    let words: Vec<&str> = text.split_ascii_whitespace().take(7).collect();
    let (weekday, day, month, year, time) = match words[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [weekday, day, month, year, time, "GMT"] => (
            weekday.strip_suffix(',')?,
            day,
            month,
            number(year, 4)?,
            time,
        ),
        // Sunday, 06-Nov-94 08:49:37 GMT
        [weekday, date, time, "GMT"] => {
            let mut parts = date.split('-');
            let (day, month) = (parts.next()?, parts.next()?);
            let year = number(parts.next()?, 2)?;
            if parts.next().is_some() {
                return None;
            }
            (
                weekday.strip_suffix(',')?,
                day,
                month,
                near(year, now_ms),
                time,
            )
        }
        // Sun Nov  6 08:49:37 1994
        [weekday, month, day, time, year] => (weekday, day, month, number(year, 4)?, time),
        _ => return None,
    };
    if !DAYS.iter().any(|name| weekday.starts_with(name)) {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)?;
    let month = i64::try_from(month).ok()? + 1;
    let day = number(day, day.len().clamp(1, 2))?;
    if !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let mut parts = time.split(':').map(|part| number(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // A second 60 is a leap second's.
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_before(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000)
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let right = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    right.then(|| text.parse().ok()).flatten()
}

/// The year with these last two digits that is no more than 50 years ahead.
fn near(last_two: i64, now_ms: i64) -> i64 {
    // To the year is near enough.
    let this_year = 1_970 + now_ms.max(0) / 31_556_952_000;
    let year = this_year - this_year % 100 + last_two;
    if year > this_year + 50 {
        year - 100
    } else {
        year
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::fmt::strtime;
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Answer, Class, Failure, Phases};

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const EXAMPLE_MS: i64 = 784_111_777_000;

    fn answered(status: u16, headers: &str) -> Exchange {
        Exchange {
            result: Ok(Answer {
                status,
                headers: headers.into(),
                body: Vec::new(),
                truncated: false,
                turned_away: None,
            }),
            phases: Phases::default(),
            peer: None,
            duration_us: 1,
            note: None,
        }
    }

    fn asked(value: &str, now_ms: i64) -> Option<i64> {
        let exchange = answered(429, &format!("server: x\nretry-after: {value}\nx: y"));
        held_until_ms(Dialect::OpenboxesLift, &exchange, now_ms)
    }

    #[test]
    fn seconds_and_the_three_forms_of_a_date_ask_to_wait() {
        let now_ms = EXAMPLE_MS - 60_000;
        assert_eq!(asked("120", now_ms), Some(now_ms + 120_000));
        assert_eq!(
            asked("0000000000000000000000007", now_ms),
            Some(now_ms + 7_000)
        );
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(asked(date, now_ms), Some(EXAMPLE_MS), "{date}");
        }
    }

    #[test]
    fn nobody_is_left_alone_for_more_than_a_day() {
        let day_ms = Some(EXAMPLE_MS + LONGEST_HOLD_MS);
        assert_eq!(asked("86400", EXAMPLE_MS), day_ms);
        assert_eq!(asked("86401", EXAMPLE_MS), day_ms);
        assert_eq!(asked(&"9".repeat(40), EXAMPLE_MS), day_ms);
        assert_eq!(asked("Fri, 31 Dec 9999 23:59:59 GMT", EXAMPLE_MS), day_ms);
    }

    #[test]
    fn what_is_over_and_what_is_nonsense_asks_for_nothing() {
        for value in [
            "",
            "0",
            "-1",
            "+5",
            "1.5",
            "1 minute",
            "soon",
            "5, 6",
            "\u{664}",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 2094 08:49:37 CET",
            "Sun, 32 Nov 2094 08:49:37 GMT",
            "Sun, 29 Feb 2095 08:49:37 GMT",
            "Sun, 00 Nov 2094 08:49:37 GMT",
            "Sun, 06 nov 2094 08:49:37 GMT",
            "Sun, 06 Nov 2094 24:49:37 GMT",
            "Sun, 06 Nov 2094 08:49 GMT",
            "Sun, 06 Nov 2094 08:49:37:00 GMT",
            "Xxx, 06 Nov 2094 08:49:37 GMT",
            "Sun 06 Nov 2094 08:49:37 GMT",
            "06 Nov 2094 08:49:37 GMT",
            "2094-11-06T08:49:37Z",
        ] {
            assert_eq!(asked(value, EXAMPLE_MS), None, "{value}");
        }
    }

    #[test]
    fn only_a_429_or_503_is_asked_and_no_fixed_policy_listens() {
        for status in 200..600 {
            let exchange = answered(status, "retry-after: 9");
            let until_ms = held_until_ms(Dialect::BoldFactory, &exchange, 0);
            assert_eq!(until_ms.is_some(), matches!(status, 429 | 503), "{status}");
            assert_eq!(held_until_ms(Dialect::BoldCms, &exchange, 0), None);
        }
        let longest = answered(503, "retry-after: 9\nretry-after: x\nretry-after: 11");
        assert_eq!(
            held_until_ms(Dialect::BoldFactory, &longest, 0),
            Some(11_000)
        );
        let none = Exchange {
            result: Err(Failure {
                class: Class::Reset,
                text: "gone".into(),
            }),
            ..answered(429, "")
        };
        assert_eq!(held_until_ms(Dialect::BoldFactory, &none, 0), None);
    }

    proptest! {
        #[test]
        fn dates_are_those_of_another_reader(seconds in 0_i64..253_402_300_799) {
            let time = Timestamp::from_second(seconds).unwrap();
            for form in ["%a, %d %b %Y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"] {
                let text = strtime::format(form, time).unwrap();
                prop_assert_eq!(date_ms(&text, 0), Some(seconds * 1_000), "{}", text);
            }
        }

        #[test]
        fn old_dates_have_the_year_that_is_near(seconds in 1_700_000_000_i64..1_900_000_000, ahead_days in -17_000_i64..17_000) {
            let then = seconds + ahead_days * 86_400;
            let time = Timestamp::from_second(then).unwrap();
            let text = strtime::format("%A, %d-%b-%y %H:%M:%S GMT", time).unwrap();
            prop_assert_eq!(date_ms(&text, seconds * 1_000), Some(then * 1_000), "{}", text);
        }

        #[test]
        fn any_text_and_time_end_in_a_time_that_is_not_far(text in "[0-9A-Za-z ,:-]{0,40}", now_ms in any::<i64>()) {
            if let Some(until_ms) = asked(&text, now_ms) {
                prop_assert!(until_ms > now_ms && until_ms - now_ms <= LONGEST_HOLD_MS);
            }
        }
    }
}
