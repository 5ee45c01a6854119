//! What the journal says of itself, in the form of its other lines, and a daemon's last words.
//!
//! These lines pass no subscriber: they are made by the thread that writes, or when all else is over.

use serde_json::{Value, json};
use tracing::Level;

use super::priority::{prioritised, priority};
use crate::cli::Failure;
use crate::cli::text::block;
use crate::model::Clock;

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people and `journalctl`
    Text,
    /// One JSON object a line
    Json,
}

/// The form of a line.
pub(super) struct Voice {
    pub(super) form: Form,
    pub(super) under_systemd: bool,
    pub(super) clock: Clock,
}

impl Voice {
    /// A warning, with what a program wants to know of it.
    pub(super) fn warning(&self, text: &str, fields: &[(&str, Value)]) -> Vec<u8> {
        let line = match self.form {
            Form::Json => return self.object(Level::WARN, text, fields),
            Form::Text if self.under_systemd => prioritised(text, Level::WARN),
            Form::Text => format!("{} warning: {text}\n", self.time()),
        };
        line.into_bytes()
    }

    /// Why the daemon ends. On a terminal it is what any command prints that failed.
    pub(super) fn last_words(&self, failure: &Failure) -> Vec<u8> {
        match self.form {
            Form::Json => {
                let hint = failure.hint.as_ref().map(|hint| ("hint", json!(hint)));
                let text = block(&failure.text, "");
                self.object(Level::ERROR, text.trim_end(), hint.as_slice())
            }
            Form::Text if self.under_systemd => {
                prioritised(&failure.lines(), Level::ERROR).into_bytes()
            }
            Form::Text => failure.lines().into_bytes(),
        }
    }

    fn object(&self, level: Level, text: &str, fields: &[(&str, Value)]) -> Vec<u8> {
        let mut object = json!({
            "timestamp": self.time(), "level": level.as_str(), "message": text,
        });
        for (name, value) in fields {
            object[*name] = value.clone();
        }
        let before = if self.under_systemd {
            priority(level)
        } else {
            ""
        };
        format!("{before}{object}\n").into_bytes()
    }

    fn time(&self) -> String {
        super::text::time(self.clock.now_ms())
    }
}
