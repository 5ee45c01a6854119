//! A span of time as a person types it: a whole number with its unit.
//!
//! Left out: what a span is for, and `--for` of the commands, which have a reader of their own.

use super::diagnostic::Findings;
use super::section::Section;

const DAY_MS: i64 = 24 * 3_600_000;

const UNITS: [(&str, i64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", DAY_MS),
];

/// The shortest span, so that a unit that was forgotten or mistaken is seen.
const LEAST_MS: i64 = 1_000;

/// The longest: what is longer than a year was meant as something else.
const MOST_MS: i64 = 366 * DAY_MS;

/// Reads a key that is a span, in milliseconds.
pub(super) fn read(
    section: &Section<'_, '_>,
    key: &'static str,
    found: &mut Findings,
) -> Option<i64> {
    let text = section.text(key, found)?;
    let fix = format!("for example {}", section.example(key));
    let Some(ms) = parse(text.value) else {
        let message = format!("{key} is a whole number with its unit: ms, s, m, h, d");
        found.error(text.at, message, fix);
        return None;
    };
    if (LEAST_MS..=MOST_MS).contains(&ms) {
        return Some(ms);
    }
    found.error(text.at, format!("{key} must be 1s to 366d"), fix);
    None
}

fn parse(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit = text.strip_prefix(digits)?;
    let unit_ms = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // A number that is too large for any span is too long for this one.
    plain.then(|| digits.parse().unwrap_or(i64::MAX).saturating_mul(unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_whole_numbers_with_a_unit() {
        let right = [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("3d", 259_200_000),
            ("99999999999999999999d", i64::MAX),
        ];
        for (text, ms) in right {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
        for text in [
            "", "3", "d", "3 d", "-3d", "+3d", "3.5d", "3D", "3w", "3dd", "1h30m",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
