//! A size with its unit, such as `"10GB"`: what is written otherwise is refused with what was meant.
//!
//! A number without a unit is refused too, for half of those who write one mean MB.

use std::ops::RangeInclusive;

use toml::de::DeValue;

use super::diagnostic::Findings;
use super::section::{Given, Section};
use crate::model::bytes::{UNITS, typed};

/// The size that a key says, in bytes; `why` says what sets the range.
pub(super) fn size(
    section: &Section<'_, '_>,
    key: &'static str,
    range: RangeInclusive<u64>,
    why: &str,
    found: &mut Findings,
) -> Option<Given<u64>> {
    let (_, value) = section.entry(key)?;
    let (message, meant) = match value.get_ref() {
        DeValue::Integer(digits) => (
            format!("{key} needs a unit, in quotes"),
            u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
        ),
        DeValue::String(text) => match parse(text) {
            Ok(bytes) if range.contains(&bytes) => {
                return Some(Given {
                    value: bytes,
                    at: value.span(),
                });
            }
            Ok(_) => (String::new(), None),
            Err(meant) => (
                format!(
                    "{key} must be a whole number with one of the units kB, MB, GB, TB, KiB, MiB, \
                     GiB, TiB right behind it"
                ),
                meant,
            ),
        },
        _ => {
            section.wrong(key, "a size in quotes", value, found);
            return None;
        }
    };
    if message.is_empty() {
        let (least, most) = (typed(*range.start()), typed(*range.end()));
        let fix = format!("{why}, for example {}", section.example(key));
        found.error(
            value.span(),
            format!("{key} must be {least} to {most}"),
            fix,
        );
        return None;
    }
    let fix = match meant.filter(|bytes| range.contains(bytes)) {
        Some(bytes) => format!("write {key} = \"{}\"", typed(bytes)),
        None => format!("write {}", section.example(key)),
    };
    found.error(value.span(), message, fix);
    None
}

/// The size, or what may have been meant.
fn parse(text: &str) -> Result<u64, Option<u64>> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    match (digits.parse::<u64>(), known) {
        // What no machine has is out of every range.
        (Ok(number), Some((_, unit))) => Ok(number.saturating_mul(*unit)),
        _ => Err(meant(text)),
    }
}

/// What a size in another spelling may mean: `10gb`, `10 GB`, `10G`, `1.5GB`, `1_000MB`.
fn meant(text: &str) -> Option<u64> {
    let bare: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '_')
        .collect();
    let end = bare.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',');
    let (number, unit) = bare.split_at(end.unwrap_or(bare.len()));
    let unit = unit.to_ascii_lowercase();
    let unit = match unit.as_str() {
        "" | "b" | "bytes" => 1,
        unit => {
            let is = |name: &str| {
                let name = name.to_ascii_lowercase();
                name == unit || name.trim_end_matches('b') == unit
            };
            UNITS.iter().find(|(name, _)| is(name))?.1
        }
    };
    let (whole, rest) = number.split_once(['.', ',']).unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    if rest.is_empty() {
        return Some(whole);
    }
    let digits = u32::try_from(rest.len()).ok().filter(|n| *n <= 3)?;
    let part = rest.parse::<u64>().ok()?.checked_mul(unit)? / 10_u64.pow(digits);
    whole.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_what_it_says() {
        for (text, bytes) in [
            ("64000kB", 64_000_000),
            ("64MB", 64_000_000),
            ("10GB", 10_000_000_000),
            ("2TB", 2_000_000_000_000),
            ("65536KiB", 64 << 20),
            ("64MiB", 64 << 20),
            ("1GiB", 1 << 30),
            ("1TiB", 1 << 40),
            ("99999999999TB", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn other_spellings_are_refused_with_what_was_meant() {
        for (text, bytes) in [
            ("10gb", Some("10GB")),
            ("10 GB", Some("10GB")),
            ("10G", Some("10GB")),
            ("10Gi", Some("10GiB")),
            ("10gib", Some("10GiB")),
            ("64000KB", Some("64MB")),
            ("1.5GB", Some("1500MB")),
            ("1,5TB", Some("1500GB")),
            ("1_000MB", Some("1GB")),
            ("5000000000", Some("5GB")),
            ("10Gb/s", None),
            ("lots", None),
            ("GB", None),
            ("-1GB", None),
            ("", None),
            ("99999999999999999999GB", None),
        ] {
            let meant = parse(text).unwrap_err();
            assert_eq!(meant.map(typed).as_deref(), bytes, "{text}");
        }
    }
}
