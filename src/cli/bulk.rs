//! What the daemon says while it works off an order about many deliveries: its lines, for the person.

use std::process::ExitCode;

use serde::Deserialize;

use super::client::Answer;
use super::screen::Progress;
use super::{Ended, Failure, note, say, text};
use crate::model::DeliveryId;

/// How the order is told of.
pub(super) struct Words {
    /// What was done so far: queued.
    pub(super) done: &'static str,
    /// What would be done to them.
    pub(super) would: &'static str,
    /// What was done in the end.
    pub(super) told: &'static str,
    /// What to do where it broke off.
    pub(super) again: &'static str,
}

/// Shows the lines as they come, and says in the end what was done.
pub(super) fn heard(answer: Answer, words: &'static Words, dry_run: bool) -> Ended {
    let mut heard = Heard::of(words);
    let mut progress = Progress::new();
    answer.lines(|line: Line| heard.line(line, &mut progress))?;
    progress.clear();
    heard.tell(dry_run)
}

/// A line of the daemon's answer.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Line {
    matched: Option<i64>,
    done: Option<i64>,
    finished: bool,
    refused: Vec<Refused>,
    let_go: Vec<DeliveryId>,
    holding: Option<Holding>,
    error: Option<String>,
    /// What there is to do about it.
    hint: Option<String>,
}

/// What was given up and still holds its line.
#[derive(Deserialize)]
struct Holding {
    count: i64,
    oldest: DeliveryId,
}

#[derive(Deserialize)]
struct Refused {
    delivery_id: DeliveryId,
    error: String,
}

/// What was heard by the end.
struct Heard {
    words: &'static Words,
    matched: i64,
    done: i64,
    finished: bool,
    refused: Vec<Refused>,
    let_go: Vec<DeliveryId>,
    holding: Option<Holding>,
}

impl Heard {
    fn of(words: &'static Words) -> Self {
        Self {
            words,
            matched: 0,
            done: 0,
            finished: false,
            refused: Vec::new(),
            let_go: Vec::new(),
            holding: None,
        }
    }

    fn line(&mut self, line: Line, progress: &mut Progress) -> Result<(), Failure> {
        self.done = line.done.unwrap_or(self.done);
        if let Some(error) = line.error {
            return Err(Failure::text(format!(
                "{}; {} were {} before that",
                text::line(&error),
                text::grouped(self.done),
                self.words.done
            ))
            .hint(line.hint.map(|hint| text::line(&hint))));
        }
        self.matched = line.matched.unwrap_or(self.matched);
        self.finished |= line.finished;
        self.refused.extend(line.refused);
        self.let_go.extend(line.let_go);
        self.holding = line.holding.or(self.holding.take());
        progress.show(format!(
            "{} of {} {}",
            text::grouped(self.done),
            text::deliveries(self.matched),
            self.words.done
        ));
        Ok(())
    }

    fn tell(self, dry_run: bool) -> Ended {
        if dry_run {
            let matched = text::deliveries(self.matched);
            say(format!("{matched} {}", self.words.would))?;
            return Ok(ExitCode::SUCCESS);
        }
        for refused in &self.refused {
            let error = text::line(&refused.error);
            note(format_args!("delivery {}: {error}", refused.delivery_id));
        }
        if !self.finished {
            let text = format!(
                "the daemon broke off after {} of {}",
                text::grouped(self.done),
                text::deliveries(self.matched)
            );
            return Err(Failure::text(text).hint(Some(self.words.again)));
        }
        for id in &self.let_go {
            say(format!(
                "delivery {id}: let go, the next of its line goes; it stays failed"
            ))?;
        }
        let let_go = i64::try_from(self.let_go.len()).unwrap_or(i64::MAX);
        let done = self.done - let_go;
        // Where all were refused or let go, that has been said.
        if done > 0 || self.refused.is_empty() && let_go == 0 {
            let done = text::deliveries(done);
            say(format!("{done} {}", self.words.told))?;
        }
        if let Some(Holding { count, oldest }) = self.holding {
            let who = match count {
                1 => format!("delivery {oldest}, which was given up, still holds its line"),
                _ => format!(
                    "{} that were given up still hold their lines, the oldest is {oldest}",
                    text::deliveries(count)
                ),
            };
            note(format_args!("{who}: `webhooksd cancel {oldest}`"));
        }
        Ok(if self.refused.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
