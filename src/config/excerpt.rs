//! The line of a diagnostic, as far as it may be seen.
//!
//! A line is shown only as far as its values are known to be harmless. Values of known keys are, but
//! for secrets, the user's own headers and URLs with a password; a line that holds one of these, or
//! the word "secret", is not shown at all. Any other value (a misspelt key may well be a secret's)
//! is replaced by dots. After a syntax error nothing is known of the file's structure, and a line is
//! shown only where its own text and all that leads to it leave no doubt.

use std::fmt;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::keys::{Key, Keys, TABLES, TOP, inner, inside};
use super::source::Source;
use super::visible::shown;

/// The most of a line that is shown, in characters: what fits a terminal beside the line number.
const MAX_SHOWN_CHARS: usize = 120;

/// How much of a longer line is shown before the place.
const CHARS_BEFORE: usize = 40;

/// What stands for something that is left out.
const DOTS: &str = "...";

/// A line with the place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Excerpt {
    /// The line can't be shown.
    Hidden,
    /// The line, and which characters of it the caret run is under.
    Shown {
        /// The text, perhaps with dots.
        line: String,
        /// The first and the count.
        caret: (usize, usize),
    },
}

impl Excerpt {
    /// The line that `at` begins in.
    pub(super) fn new(source: &Source<'_>, at: &Range<usize>, private: &Private) -> Self {
        let number = source.line_number(at.start);
        let span = source.line_span(number);
        let line = source.line(number);
        if private.hides(&span) || looks_private(line) {
            return Self::Hidden;
        }
        let mut out: Vec<char> = Vec::new();
        let (mut from, mut to) = (None, None);
        let mut dotted = false;
        for (offset, c) in line.char_indices() {
            let offset = span.start + offset;
            if offset >= at.start {
                from.get_or_insert(out.len());
            }
            if offset >= at.end {
                to.get_or_insert(out.len());
            }
            if private.masks(offset) {
                if !dotted {
                    out.extend(DOTS.chars());
                }
                dotted = true;
            } else {
                dotted = false;
                out.push(shown(c));
            }
        }
        let from = from.unwrap_or(out.len());
        let to = to.unwrap_or(out.len()).max(from + 1);
        window(&out, from, to)
    }

    /// Writes the line under its number, and the caret run under the line.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, number: usize) -> fmt::Result {
        match self {
            Self::Hidden => write!(f, "\n{number:>5} | (not shown: it may hold a secret)"),
            Self::Shown { line, caret } => {
                write!(f, "\n{number:>5} | {line}")?;
                let (from, count) = *caret;
                write!(f, "\n      | {:from$}{}", "", "^".repeat(count))
            }
        }
    }
}

/// Cuts a long line around the place.
fn window(line: &[char], from: usize, to: usize) -> Excerpt {
    let first = if line.len() <= MAX_SHOWN_CHARS {
        0
    } else {
        from.saturating_sub(CHARS_BEFORE)
            .min(line.len() - MAX_SHOWN_CHARS)
    };
    let last = line.len().min(first + MAX_SHOWN_CHARS);
    let mut text = String::new();
    let mut from = from - first;
    let mut to = to.min(last.max(first + from + 1)) - first;
    if first > 0 {
        text.push_str(DOTS);
        from += DOTS.len();
        to += DOTS.len();
    }
    text.extend(line.get(first..last).unwrap_or_default());
    if last < line.len() {
        text.push_str(DOTS);
    } else {
        text.truncate(text.trim_end().len());
    }
    Excerpt::Shown {
        line: text,
        caret: (from, to - from),
    }
}

/// Whether the text alone forbids to show the line.
fn looks_private(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.contains("secret")
        || lower.contains("password=")
        || (line.contains("://") && line.contains('@'))
}

/// The spans that diagnostics must not show.
#[derive(Debug, Default)]
pub(super) struct Private {
    /// No line that one of these touches is shown.
    hidden: Vec<Range<usize>>,
    /// These are replaced by dots.
    masked: Vec<Range<usize>>,
}

impl Private {
    /// What is private in a file that could be read, as far as it touches the lines of `places`
    /// (sorted): the file may hold far more than the report.
    pub(super) fn of(table: &DeTable<'_>, source: &Source<'_>, places: &[usize]) -> Self {
        let mut lines: Vec<Range<usize>> = places
            .iter()
            .map(|at| source.line_span(source.line_number(*at)))
            .collect();
        lines.dedup();
        let mut walk = Walk {
            lines,
            private: Self::default(),
        };
        for (name, value) in table {
            let name: &str = name.get_ref();
            match (inside(name), TOP.find(name)) {
                (Some(keys), _) => walk.section(value.get_ref(), value.span(), keys),
                (None, key) => walk.value(value.get_ref(), value.span(), key),
            }
        }
        walk.private
    }

    /// What is private around a syntax error: the line of the error, if there is any doubt.
    pub(super) fn of_broken(source: &Source<'_>, at: usize) -> Self {
        let number = source.line_number(at);
        let mut private = Self::default();
        if !is_plain(source, number) {
            private.hidden.push(source.line_span(number));
        }
        private
    }

    fn hides(&self, line: &Range<usize>) -> bool {
        self.hidden.iter().any(|span| touches(span, line))
    }

    fn masks(&self, offset: usize) -> bool {
        self.masked.iter().any(|span| span.contains(&offset))
    }
}

fn touches(span: &Range<usize>, line: &Range<usize>) -> bool {
    span.start <= line.end && line.start <= span.end
}

struct Walk {
    lines: Vec<Range<usize>>,
    private: Private,
}

impl Walk {
    fn section(&mut self, value: &DeValue<'_>, at: Range<usize>, keys: &Keys) {
        match value {
            DeValue::Table(table) => {
                for (name, value) in table {
                    self.value(value.get_ref(), value.span(), keys.find(name.get_ref()));
                }
            }
            DeValue::Array(items) => {
                for item in items {
                    self.section(item.get_ref(), item.span(), keys);
                }
            }
            _ => self.note(at, false),
        }
    }

    fn value(&mut self, value: &DeValue<'_>, at: Range<usize>, key: Option<&Key>) {
        match (key, value) {
            (Some(key), _) if !key.shown => self.leaves(value, at, true),
            (Some(_), DeValue::String(text))
                if text.contains('@') || text.contains("password=") =>
            {
                self.note(at, true);
            }
            (Some(key), DeValue::Table(_)) if let Some(keys) = inner(key) => {
                self.section(value, at, keys);
            }
            (Some(_), DeValue::Table(_)) | (None, _) => self.leaves(value, at, false),
            (Some(key), DeValue::Array(items)) => {
                for item in items {
                    self.value(item.get_ref(), item.span(), Some(key));
                }
            }
            (Some(_), _) => {}
        }
    }

    fn leaves(&mut self, value: &DeValue<'_>, at: Range<usize>, hide: bool) {
        match value {
            DeValue::Table(table) => {
                for (_, value) in table {
                    self.leaves(value.get_ref(), value.span(), hide);
                }
            }
            DeValue::Array(items) => {
                for item in items {
                    self.leaves(item.get_ref(), item.span(), hide);
                }
            }
            _ => self.note(at, hide),
        }
    }

    fn note(&mut self, at: Range<usize>, hide: bool) {
        let first = self.lines.partition_point(|line| line.end < at.start);
        if self.lines.get(first).is_some_and(|line| touches(&at, line)) {
            if hide {
                self.private.hidden.push(at);
            } else {
                self.private.masked.push(at);
            }
        }
    }
}

/// Whether a line of a file that is no TOML is surely a header or a known harmless key with its
/// value: by itself, and because nothing before it can make it a part of something private.
fn is_plain(source: &Source<'_>, number: usize) -> bool {
    let line = source.line(number);
    // With a second "=" it holds a second key, whose value may be anything.
    let doubtful = line.contains(['@', '{']) || line.matches('=').count() > 1 || may_open(line);
    if doubtful || !(is_header(line) || is_public(line)) {
        return false;
    }
    for earlier in (1..number).rev() {
        let text = source.line(earlier);
        if is_header(text) {
            return !may_open(text) && (1..earlier).all(|n| !may_run_on(source.line(n)));
        }
        if may_open(text) || text.trim_start().starts_with('[') {
            return false;
        }
    }
    true
}

/// Whether what follows such a line may be a part of a header table or of a longer text.
fn may_open(line: &str) -> bool {
    line.contains("headers") || line.contains('\\') || may_run_on(line)
}

/// Whether such a line may begin or end a text of several lines.
fn may_run_on(line: &str) -> bool {
    line.contains("\"\"\"") || line.contains("'''")
}

/// `[name]` or `[[name]]` of a table that is known.
fn is_header(line: &str) -> bool {
    let line = line.trim();
    TABLES
        .iter()
        .any(|(name, _)| line == format!("[{name}]") || line == format!("[[{name}]]"))
}

/// `key = ...`, or a comment's `# key = ...`, of a key that may be shown.
fn is_public(line: &str) -> bool {
    let Some((name, _)) = line.split_once('=') else {
        return false;
    };
    let name = name.trim();
    std::iter::once(&TOP)
        .chain(TABLES.iter().map(|(_, keys)| *keys))
        .any(|keys| keys.find(name).is_some_and(|key| key.shown))
}
