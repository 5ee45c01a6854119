//! What is wrong with a configuration, and the report of all of it.
//!
//! A [`Finding`] is a span of the text with words; a [`Diagnostic`] is the finding with file, line
//! and column and as much of the line as may be seen, ready to be printed, and it outlives the text.
//! The words of a finding never hold a value of the file that could be a secret: see `excerpt` for
//! the lines. What is found is never thrown away silently: past the limit it is counted.

use std::fmt;
use std::ops::Range;

use super::excerpt::{Excerpt, Private};
use super::source::Source;
use super::visible::printable;

/// The most errors that are kept, and the most warnings. A report of thousands is one mistake made thousands of times,
/// and a file of 16 MiB can hold millions.
const MAX_FINDINGS: usize = 1_000;

/// Whether a configuration with it can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It can't.
    Error,
    /// It can, but may not do what was meant.
    Warning,
}

/// One thing that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file's name as it was given.
    pub file: String,
    /// Line and column, both from 1, the column in characters; `None`: the file as a whole.
    pub place: Option<(usize, usize)>,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub fix: String,
    excerpt: Option<Excerpt>,
}

impl Diagnostic {
    /// One about the file as a whole.
    pub(super) fn of_file(file: &str, severity: Severity, message: &str, fix: &str) -> Self {
        Self {
            file: printable(file),
            place: None,
            severity,
            message: message.to_owned(),
            fix: fix.to_owned(),
            excerpt: None,
        }
    }

    /// Without its severity, for where that is said already.
    pub(crate) fn bare(&self) -> impl fmt::Display {
        Bare(self)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, severity: &str) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {severity}{}", self.message)?;
        if let (Some(excerpt), Some((line, _))) = (&self.excerpt, self.place) {
            excerpt.write(f, line)?;
        }
        write!(f, "\n   = {}", self.fix)
    }
}

struct Bare<'a>(&'a Diagnostic);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, "")
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
        };
        self.write(f, severity)
    }
}

/// All that is wrong with a configuration, in the order of the file. It holds at least one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more there were than are kept.
    pub more: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, diagnostic) in self.diagnostics.iter().enumerate() {
            if n > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        if self.more > 0 {
            write!(f, "\n\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

impl From<Diagnostic> for Report {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            diagnostics: vec![diagnostic],
            more: 0,
        }
    }
}

/// A diagnostic in the making: the span is in bytes of the text.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) at: Option<Range<usize>>,
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) fix: String,
}

impl Finding {
    /// With its place in the text. `private` says what of the line must not be seen.
    pub(super) fn diagnose(self, file: &str, source: &Source<'_>, private: &Private) -> Diagnostic {
        Diagnostic {
            file: printable(file),
            place: self.at.as_ref().map(|at| source.position(at.start)),
            severity: self.severity,
            message: self.message,
            fix: self.fix,
            excerpt: self.at.map(|at| Excerpt::new(source, &at, private)),
        }
    }
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    more: usize,
    errors: usize,
    warnings: usize,
}

impl Findings {
    /// Notes an error at a span.
    pub(super) fn error(
        &mut self,
        at: Range<usize>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.note(Severity::Error, Some(at), message.into(), fix.into());
    }

    /// Notes a warning at a span, or about the file as a whole.
    pub(super) fn warning(
        &mut self,
        at: Option<Range<usize>>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.note(Severity::Warning, at, message.into(), fix.into());
    }

    /// Notes it.
    pub(super) fn note(
        &mut self,
        severity: Severity,
        at: Option<Range<usize>>,
        message: String,
        fix: String,
    ) {
        // Counted apart, so that warnings never take the place of an error.
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= MAX_FINDINGS {
            self.list.push(Finding {
                at,
                severity,
                message,
                fix,
            });
        } else {
            self.more += 1;
        }
    }

    /// Whether one of them is an error.
    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// The findings in the order of the file, and how many more there were.
    pub(super) fn finish(mut self) -> (Vec<Finding>, usize) {
        self.list
            .sort_by_key(|finding| finding.at.as_ref().map_or(usize::MAX, |at| at.start));
        (self.list, self.more)
    }
}
