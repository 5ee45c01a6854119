//! A webhook that is to be: its part of the file as text, what the check says of it, and which past events it would get.
//!
//! The file is the person's: nothing here writes it. A form has the names of files with secrets, never a secret, and
//! none of them is read. Left out: what `check` knows of files with secrets, databases and ports.

use std::collections::BTreeMap;

use super::look::Trouble;
use super::{Page, Source, form};
use crate::config::{Config, Severity};
use crate::model::{EventId, Word, chain};
use crate::outbox::{Past, Row};
use crate::query::{self, Asked, Trial, TrialError};

/// Past events that a webhook is judged by, and that event types are gathered from.
const JUDGED: i64 = 10_000;
const GATHERED: usize = 1_000;

/// Bytes of their data that are read at once.
const READ_BYTES: usize = 4 << 20;

/// Event types that are listed, and characters of each sample.
const TYPES: usize = 50;
const SAMPLE_CHARS: usize = 600;

/// The longest value of a field, in bytes.
const FIELD_BYTES: usize = 2_000;

/// The fields of the form, in their order.
pub(super) const FIELDS: [&str; 8] = [
    "name",
    "url",
    "events",
    "dialect",
    "secret_file",
    "path",
    "word",
    "value",
];

/// What the form leads to.
pub(super) struct New {
    /// What was typed, by field.
    pub typed: BTreeMap<&'static str, String>,
    /// The part of the file; `None` where nothing was typed.
    pub stanza: Option<String>,
    /// What is wrong with it, in the words of `check`.
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
    /// Errors that the file itself has.
    pub others: usize,
    /// What it would get.
    pub tried: Option<Tried>,
    /// The types of the newest events.
    pub types: Vec<Type>,
}

/// An event type that the outbox has.
pub(super) struct Type {
    pub name: String,
    /// How many of the newest thousand events are of it.
    pub count: usize,
    /// The newest of them.
    pub id: EventId,
    /// Its data, cut.
    pub sample: String,
}

/// What a webhook would get of the past events, or why that can't be said.
pub(super) struct Tried {
    pub rules: Vec<String>,
    pub trial: Result<Trial, String>,
}

/// The form as an address has it; `None` where the page has no file.
///
/// # Errors
/// The file can't be read.
pub(super) fn looked_at(page: &Page, query: &str) -> Result<Option<New>, Trouble> {
    let Source::Own {
        config,
        file: Some(file),
        ..
    } = &page.source
    else {
        return Ok(None);
    };
    let field = |name: &'static str| {
        let mut typed = form::field(query, name).unwrap_or_default();
        if typed.len() > FIELD_BYTES {
            typed.clear();
        }
        (name, typed.trim().to_owned())
    };
    let mut new = New {
        typed: FIELDS.into_iter().map(field).collect(),
        stanza: None,
        errors: Vec::new(),
        warnings: Vec::new(),
        others: 0,
        tried: None,
        types: types(config).unwrap_or_default(),
    };
    if new.typed["name"].is_empty() && new.typed["url"].is_empty() {
        return Ok(Some(new));
    }
    let stanza = written(&new.typed);
    // No file is read that somebody named in the form: what came back would say which there are.
    let (checked, first) = page
        .shared
        .disk
        .with(file, (&new.typed["name"], &stanza))
        .map_err(Trouble::Log)?;
    let diagnostics = match &checked {
        Ok(config) => &config.warnings,
        Err(report) => &report.diagnostics,
    };
    for diagnostic in diagnostics {
        let is_own = diagnostic.place.is_some_and(|(line, _)| line >= first);
        match (is_own, diagnostic.severity) {
            (true, Severity::Error) => new.errors.push(diagnostic.to_string()),
            (true, Severity::Warning) => new.warnings.push(diagnostic.to_string()),
            (false, Severity::Error) => new.others += 1,
            (false, Severity::Warning) => {}
        }
    }
    if let Ok(config) = &checked {
        new.tried = tried(config, &new.typed["name"], page.clock.now_ms());
    }
    new.stanza = Some(stanza);
    Ok(Some(new))
}

/// What a webhook of that name would get, by the file as it is on disk; `None` where the page has no file, or the file no
/// such webhook.
///
/// # Errors
/// The file can't be read, or has errors.
pub(super) fn matched(page: &Page, name: &str) -> Result<Option<Tried>, Trouble> {
    let Source::Own {
        file: Some(file), ..
    } = &page.source
    else {
        return Ok(None);
    };
    let config = page.shared.disk.read(file).map_err(Trouble::Log)?;
    Ok(tried(&config, name, page.clock.now_ms()))
}

fn tried(config: &Config, name: &str, now_ms: i64) -> Option<Tried> {
    let webhook = config.webhooks.iter().find(|w| *w.name == *name)?;
    let judged = || -> Result<Trial, TrialError> {
        let Some(since_ms) = since(config)? else {
            return Ok(Trial::default());
        };
        let asked = Asked {
            webhook,
            since_ms,
            newest: Some(JUDGED),
            event: None,
            now_ms,
        };
        query::trial(config, asked, &mut |_| {})
    };
    Some(Tried {
        rules: webhook.rules.iter().map(ToString::to_string).collect(),
        trial: judged().map_err(|error| match error {
            TrialError::Outbox(error) => chain(&error),
            TrialError::Store(error) => chain(&error),
        }),
    })
}

/// When the first of the events was written that are judged.
fn since(config: &Config) -> Result<Option<i64>, crate::outbox::Error> {
    let of = &config.outbox;
    let mut tail = Past::open(of.server.as_ref(), &of.path, of.max_data_bytes)?;
    let mut after = tail.below_newest(JUDGED)?;
    loop {
        let batch = tail.read(after, GATHERED, READ_BYTES)?;
        let mut rows = batch.rows.iter();
        let found = rows.find_map(|row| match row {
            Row::Event(event) => Some(event.time_ms),
            Row::Rejected(_) => None,
        });
        match (found, batch.rows.last()) {
            (None, Some(last)) if batch.more => after = last.id(),
            _ => return Ok(found),
        }
    }
}

/// The types of the newest events, those with the most of them first.
fn types(config: &Config) -> Result<Vec<Type>, crate::outbox::Error> {
    let of = &config.outbox;
    let mut tail = Past::open(of.server.as_ref(), &of.path, of.max_data_bytes)?;
    let rows = i64::try_from(GATHERED).unwrap_or(i64::MAX);
    let after = tail.below_newest(rows)?;
    let mut types: BTreeMap<String, Type> = BTreeMap::new();
    for row in tail.read(after, GATHERED, READ_BYTES)?.rows {
        let Row::Event(event) = row else { continue };
        let name = event.name.to_string();
        let known = types.entry(name.clone()).or_insert(Type {
            name,
            count: 0,
            id: event.id,
            sample: String::new(),
        });
        known.count += 1;
        known.id = event.id;
        known.sample = event.data.chars().take(SAMPLE_CHARS).collect();
    }
    let mut types: Vec<Type> = types.into_values().collect();
    types.sort_by_key(|one| std::cmp::Reverse(one.count));
    types.truncate(TYPES);
    Ok(types)
}

/// The part of the file that says what was typed.
fn written(typed: &BTreeMap<&'static str, String>) -> String {
    let mut text = String::from("[[webhook]]\n");
    let mut line = |key: &str, value: String| text.push_str(&format!("{key} = {value}\n"));
    for key in ["name", "url"] {
        line(key, quoted(&typed[key]));
    }
    let events = typed["events"]
        .split([',', ' '])
        .filter(|one| !one.is_empty());
    let events: Vec<String> = events.map(quoted).collect();
    line("events", format!("[{}]", events.join(", ")));
    for key in ["dialect", "secret_file"] {
        if !typed[key].is_empty() {
            line(key, quoted(&typed[key]));
        }
    }
    if !typed["path"].is_empty() {
        let words = Word::ALL.into_iter().map(Word::name);
        let word = words.into_iter().find(|word| *word == typed["word"]);
        let (path, word) = (quoted(&typed["path"]), word.unwrap_or("eq"));
        let value = match word {
            "in" | "not_in" => {
                let all = typed["value"].split(',').map(|one| bare(one.trim()));
                format!("[{}]", all.collect::<Vec<_>>().join(", "))
            }
            "prefix" | "suffix" => quoted(&typed["value"]),
            _ => bare(&typed["value"]),
        };
        line("where", format!("[{{ path = {path}, {word} = {value} }}]"));
    }
    text
}

/// A number, true or false as they are, and text in quotes.
fn bare(value: &str) -> String {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let is_number = match digits.split_once('.') {
        Some((whole, part)) => is_digits(whole) && is_digits(part),
        None => is_digits(digits),
    };
    let has_zeros = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if matches!(value, "true" | "false") || is_number && !has_zeros {
        return value.to_owned();
    }
    quoted(value)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_stands_in_it_as_toml() {
        let typed = |fields: &[(&'static str, &str)]| {
            let mut all: BTreeMap<&'static str, String> = FIELDS
                .into_iter()
                .map(|name| (name, String::new()))
                .collect();
            all.extend(
                fields
                    .iter()
                    .map(|(name, value)| (*name, (*value).to_owned())),
            );
            written(&all)
        };
        let text = typed(&[
            ("name", "a\"\n[x]"),
            ("url", "https://h/"),
            ("events", "a, b-* c"),
            ("path", "$.n"),
            ("word", "in"),
            ("value", "7, x, true, 007, -1.5, 1e3"),
        ]);
        let wanted = "[[webhook]]\nname = \"a\\\"\\u000a[x]\"\nurl = \"https://h/\"\nevents = [\"a\", \"b-*\", \"c\"]\n\
                      where = [{ path = \"$.n\", in = [7, \"x\", true, \"007\", -1.5, \"1e3\"] }]\n";
        assert_eq!(text, wanted);
        let odd = typed(&[("path", "$"), ("word", "}] x"), ("value", "0.5")]);
        assert!(
            odd.ends_with("events = []\nwhere = [{ path = \"$\", eq = 0.5 }]\n"),
            "{odd}"
        );
    }
}
