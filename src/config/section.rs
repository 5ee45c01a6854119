//! One table of the configuration, read key by key.
//!
//! Every accessor answers `None` both where the key is absent and where its value is wrong; the
//! latter it has then noted, so that reading goes on and all errors are found at once. Nothing here
//! knows what a key means.

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Findings;
use super::keys::Keys;
use super::visible::printable;

/// The longest unknown key that is repeated in full, in characters.
const MAX_KEY_SHOWN_CHARS: usize = 64;

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) at: Range<usize>,
}

/// A key with its value, as the parser gives them.
pub(super) type Entry<'t, 'i> = (&'t Spanned<Cow<'i, str>>, &'t Spanned<DeValue<'i>>);

/// A table and the keys that it may have.
#[derive(Debug)]
pub(super) struct Section<'t, 'i> {
    table: &'t DeTable<'i>,
    keys: &'static Keys,
    /// Where the table is named.
    pub(super) at: Range<usize>,
}

impl<'t, 'i> Section<'t, 'i> {
    /// Takes the table and notes the keys that are none of its own.
    pub(super) fn new(
        table: &'t DeTable<'i>,
        at: Range<usize>,
        keys: &'static Keys,
        found: &mut Findings,
    ) -> Self {
        for name in table.keys() {
            if keys.find(name.get_ref()).is_none() {
                let typed: String = name.get_ref().chars().take(MAX_KEY_SHOWN_CHARS).collect();
                found.error(
                    name.span(),
                    format!("unknown key \"{}\" in {}", printable(&typed), keys.title),
                    keys.advice(name.get_ref()),
                );
            }
        }
        Self { table, keys, at }
    }

    /// The key as it was written, with its value.
    pub(super) fn entry(&self, key: &'static str) -> Option<Entry<'t, 'i>> {
        debug_assert!(self.keys.find(key).is_some(), "{key} is in no list");
        self.table.get_key_value(key)
    }

    /// Whether the key is there, right or wrong.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// Whether there is a key that is none of its own.
    pub(super) fn has_unknown(&self) -> bool {
        let mut names = self.table.keys();
        names.any(|name| self.keys.find(name.get_ref()).is_none())
    }

    /// The place of the key itself; that of the table where it is absent.
    /// Its own place.
    pub(super) fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    pub(super) fn key_at(&self, key: &'static str) -> Range<usize> {
        self.entry(key)
            .map_or_else(|| self.at.clone(), |(name, _)| name.span())
    }

    /// The place of the key's value; that of the table where it is absent.
    pub(super) fn value_at(&self, key: &'static str) -> Range<usize> {
        self.entry(key)
            .map_or_else(|| self.at.clone(), |(_, value)| value.span())
    }

    /// Notes that a key which must be there is not. A slip of it was noted already, with what is meant.
    pub(super) fn missing(&self, key: &'static str, found: &mut Findings) {
        let mut names = self.table.keys().map(|name| name.get_ref());
        if names.any(|name| self.keys.find(name).is_none() && self.keys.near(name) == Some(key)) {
            return;
        }
        found.error(
            self.at.clone(),
            format!("this {} has no {key}", self.keys.title),
            format!("add a line: {}", self.keys.example(key)),
        );
    }

    /// A string.
    pub(super) fn text(&self, key: &'static str, found: &mut Findings) -> Option<Given<&'t str>> {
        let (_, value) = self.entry(key)?;
        if let DeValue::String(text) = value.get_ref() {
            return Some(Given {
                value: text,
                at: value.span(),
            });
        }
        self.wrong(key, "a string", value, found);
        None
    }

    /// `true` or `false`.
    pub(super) fn truth(&self, key: &'static str, found: &mut Findings) -> Option<Given<bool>> {
        let (_, value) = self.entry(key)?;
        if let DeValue::Boolean(truth) = value.get_ref() {
            return Some(Given {
                value: *truth,
                at: value.span(),
            });
        }
        // Which of the two is meant is not guessed.
        found.error(
            value.span(),
            format!(
                "{key} must be true or false, not {}",
                type_name(value.get_ref())
            ),
            format!("write {key} = true, or {key} = false"),
        );
        None
    }

    /// A whole number in a range; `why` says what sets the range.
    pub(super) fn number(
        &self,
        key: &'static str,
        range: RangeInclusive<u32>,
        why: &str,
        found: &mut Findings,
    ) -> Option<Given<u32>> {
        let (_, value) = self.entry(key)?;
        let DeValue::Integer(digits) = value.get_ref() else {
            self.wrong(key, "a whole number", value, found);
            return None;
        };
        let number = u32::from_str_radix(digits.as_str(), digits.radix()).ok();
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(Given {
                value: number,
                at: value.span(),
            });
        }
        found.error(
            value.span(),
            format!("{key} must be {} to {}", range.start(), range.end()),
            format!("{why}, for example {}", self.keys.example(key)),
        );
        None
    }

    /// A number with or without a point; not one that is finite by all means.
    pub(super) fn any_number(&self, key: &'static str, found: &mut Findings) -> Option<Given<f64>> {
        let (_, value) = self.entry(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
                // What is beyond 64 bits is beyond every range too.
                .map_or(Some(f64::INFINITY), |n| n.to_string().parse().ok()),
            DeValue::Float(digits) => digits.as_str().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.wrong(key, "a number", value, found);
        }
        number.map(|number| Given {
            value: number,
            at: value.span(),
        })
    }

    /// An array of strings, not empty; `why_full` says what an empty one would mean, and what to
    /// write.
    pub(super) fn texts(
        &self,
        key: &'static str,
        max: usize,
        why_full: (&str, &str),
        found: &mut Findings,
    ) -> Option<Vec<Given<&'t str>>> {
        let (_, value) = self.entry(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong(key, "an array of strings", value, found);
            return None;
        };
        if items.is_empty() {
            found.error(
                value.span(),
                format!("{key} is empty: {}", why_full.0),
                why_full.1,
            );
            return None;
        }
        if items.len() > max {
            found.error(
                value.span(),
                format!("{key} has more than {max} entries"),
                "split the webhook in two, or use * for a group",
            );
            return None;
        }
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            if let DeValue::String(text) = item.get_ref() {
                texts.push(Given {
                    value: &**text,
                    at: item.span(),
                });
            } else {
                self.wrong(key, "an array of strings", item, found);
            }
        }
        Some(texts)
    }

    /// How the key is written.
    pub(super) fn example(&self, key: &'static str) -> &'static str {
        self.keys.example(key)
    }

    /// Notes that a value is of another type.
    pub(super) fn wrong(
        &self,
        key: &'static str,
        wanted: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Findings,
    ) {
        found.error(
            value.span(),
            format!("{key} must be {wanted}, not {}", type_name(value.get_ref())),
            format!("write {}", self.keys.example(key)),
        );
    }
}

/// What TOML calls such a value.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
