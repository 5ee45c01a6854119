//! Timestamps as the vendors write them: UTC to the second, `2024-11-14T09:32:17Z`.
//!
//! Truncated, never rounded: an event is not said to be later than it was. By own arithmetic,
//! because a `jiff::Timestamp` ends 26 hours before the year 9999 does, and an event's time may be
//! its last millisecond. Days become dates as in Howard Hinnant's `civil_from_days`.

use crate::model::event::MAX_TIME_MS;

const DAY_S: u64 = 86_400;

/// Writes UNIX milliseconds as a UTC timestamp; a time outside 1970 to 9999 as the nearest inside.
pub(super) fn push_utc(out: &mut String, time_ms: i64) {
    let seconds = time_ms.clamp(0, MAX_TIME_MS).unsigned_abs() / 1_000;
    let (year, month, day) = date(seconds / DAY_S);
    let second = seconds % DAY_S;
    push_two(out, year / 100);
    push_two(out, year % 100);
    for (mark, number) in [
        ('-', month),
        ('-', day),
        ('T', second / 3_600),
        (':', second / 60 % 60),
        (':', second % 60),
    ] {
        out.push(mark);
        push_two(out, number);
    }
    out.push('Z');
}

/// Year, month and day of a number of days since 1970-01-01. Counted in eras of 400 years from
/// 0000-03-01, so that a leap day is the last day of its year.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

fn push_two(out: &mut String, number: u64) {
    for digit in [number / 10, number] {
        out.push(char::from(b'0' + (digit % 10) as u8));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utc(time_ms: i64) -> String {
        let mut out = String::new();
        push_utc(&mut out, time_ms);
        out
    }

    #[test]
    fn known_instants() {
        for (time_ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_731_576_737_999, "2024-11-14T09:32:17Z"),
            (1_743_517_800_000, "2025-04-01T14:30:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
            (MAX_TIME_MS, "9999-12-31T23:59:59Z"),
            (i64::MIN, "1970-01-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(time_ms), text);
        }
    }

    proptest! {
        #[test]
        fn as_jiff_writes_it(time_ms in 0..=MAX_TIME_MS) {
            let civil = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0)
                + jiff::Span::new().seconds(time_ms / 1_000);
            prop_assert_eq!(utc(time_ms), format!("{civil}Z"));
        }
    }
}
