//! `batch` of a webhook: several events in one POST.

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::diagnostic::Findings;
use super::headers::Headers;
use super::keys::BATCH;
use super::section::Section;
use crate::dialect;
use crate::model::{BatchRule, Dialect};

/// The most events of one POST: half of what a webhook's queue holds, so that the next is gathered meanwhile.
const MAX_EVENTS: u32 = 1_000;

/// The largest body, in bytes: what a webhook's queue holds.
const MAX_BYTES: u32 = 2 << 20;

/// The longest that the oldest waits for others, in milliseconds: it is a wait of each event that comes alone.
const MAX_WAIT_MS: u64 = 60_000;

const DEFAULT: BatchRule = BatchRule {
    max_events: 100,
    max_bytes: 1 << 20,
    wait: Duration::from_secs(1),
};

/// What the webhook says; `None` where it has no `batch`, or a wrong one, which was noted.
pub(super) fn read(
    section: &Section<'_, '_>,
    dialect: Option<Dialect>,
    headers: &Headers,
    found: &mut Findings,
) -> Option<BatchRule> {
    let (key, value) = section.entry("batch")?;
    let DeValue::Table(table) = value.get_ref() else {
        section.wrong("batch", "a table", value, found);
        return None;
    };
    let table: &DeTable<'_> = table;
    let batch = Section::new(table, value.span(), &BATCH, found);
    let rule = BatchRule {
        max_events: number(&batch, "max_events", MAX_EVENTS, DEFAULT.max_events, found),
        max_bytes: number(&batch, "max_bytes", MAX_BYTES, DEFAULT.max_bytes, found),
        wait: wait(&batch, found),
    };
    if dialect.is_some_and(|dialect| !dialect::is_batched(dialect)) {
        found.error(
            key.span(),
            "only openboxes-lift announces several events in one POST: the receivers of the other dialects \
             take one",
            "leave batch out, or set dialect = \"openboxes-lift\"",
        );
        return None;
    }
    if headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(dialect::BATCH))
    {
        found.error(
            section.key_at("headers"),
            format!(
                "with batch the header {} is webhooksd's own",
                dialect::BATCH
            ),
            "leave that header out",
        );
    }
    Some(rule)
}

fn number(
    batch: &Section<'_, '_>,
    key: &'static str,
    most: u32,
    default: usize,
    found: &mut Findings,
) -> usize {
    let why = "what waits for a POST is kept in memory";
    let given = batch.number(key, 1..=most, why, found);
    given.map_or(default, |given| {
        usize::try_from(given.value).unwrap_or(default)
    })
}

fn wait(batch: &Section<'_, '_>, found: &mut Findings) -> Duration {
    let Some(text) = batch.text("wait", found) else {
        return DEFAULT.wait;
    };
    if let Some(wait) = span(text.value)
        && wait <= Duration::from_millis(MAX_WAIT_MS)
    {
        return wait;
    }
    found.error(
        text.at,
        "wait must be a whole number with its unit, ms, s or m, of at most 60s",
        format!(
            "while a POST is in flight the oldest waits so long for others, write {}",
            batch.example("wait")
        ),
    );
    DEFAULT.wait
}

/// A number and its unit; nothing between.
fn span(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits.parse().ok()?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}
