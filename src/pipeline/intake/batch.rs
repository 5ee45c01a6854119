//! Intake: a batch of the outbox becomes deliveries in the log, in one transaction with the cursor.
//!
//! Nothing is sent here and nothing is waited for but the log. What rows become is `taking`'s; here is what
//! SQLite needs: where the outbox is read, and whether it is still the one that was taken.

use std::sync::Arc;

use super::below::Below;
use super::error::IntakeError;
use super::taking::{From, take_in};
use crate::model::{Clock, Cursor, Deferred, EventId, crash};
use crate::outbox::{self, Tail};
use crate::pipeline::send::{Dispatch, Lane};
use crate::pipeline::shared::counters::Heartbeat;
use crate::pipeline::shared::standing::Standing;
use crate::pipeline::shared::{Patience, Resume, is_same, resolve_again};
use crate::transport::Transport;

/// Rows of the outbox in one batch: a millisecond's read.
const BATCH_ROWS: usize = 1_000;

/// Bytes of `data` in one batch, so that large events cost no more memory than small ones.
const BATCH_BYTES: usize = 4 << 20;

/// What one step found.
pub(crate) enum Step<E> {
    /// Events were taken; there may be more. The lanes that got some.
    Taken(Vec<Arc<Lane<E>>>),
    /// There is nothing behind the cursor.
    Drained,
    /// The log has no room: nothing was looked at.
    Held,
    /// The rows were read from a file that is no longer under the outbox's path: none was taken.
    Replaced,
}

/// The reader of one outbox.
pub(crate) struct Intake<T: Transport> {
    dispatch: Arc<Dispatch<T>>,
    pub(crate) tail: Tail,
    cursor: Cursor,
    below: Below,
    /// There is more behind the cursor than was admitted: the log refused it, or it was too much.
    more: bool,
    /// What was put off in the last step.
    owed: Vec<Deferred>,
    patience: Patience,
    /// Where to go back to, which the log refused to be told. By the next look the outbox may have
    /// grown beyond the cursor again, and what it lost no longer be seen.
    back: Option<Resume>,
}

impl<T: Transport> Intake<T> {
    /// Goes on at that cursor, which the log has already.
    #[must_use]
    pub(crate) fn new(dispatch: Arc<Dispatch<T>>, tail: Tail, cursor: Cursor) -> Self {
        Self {
            dispatch,
            tail,
            below: Below::new(&cursor),
            cursor,
            more: false,
            owed: Vec::new(),
            patience: Patience::default(),
            back: None,
        }
    }

    /// How far the outbox has been taken in.
    #[cfg(test)]
    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    pub(crate) fn clock(&self) -> &Clock {
        self.dispatch.clock()
    }

    pub(crate) fn heartbeat(&self) -> &Heartbeat {
        &self.dispatch.counters().intake
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.dispatch.counters().standing
    }

    pub(crate) fn dispatch(&self) -> &Arc<Dispatch<T>> {
        &self.dispatch
    }

    /// Whether there is something to do though nobody commits: the log refused it the last time.
    pub(crate) fn has_more(&self) -> bool {
        self.more || !self.owed.is_empty() || self.back.is_some()
    }

    pub(crate) fn max_data_bytes(&self) -> usize {
        self.dispatch.max_data_bytes()
    }

    /// Takes note of the limit of today's configuration.
    pub(crate) fn limit_data(&mut self) {
        let max_data_bytes = self.max_data_bytes();
        self.tail.limit_data(max_data_bytes);
    }

    /// Takes one batch in. Blocks for the log's lock.
    ///
    /// # Errors
    /// Nothing was taken; the same call again is right once the cause is gone.
    pub(crate) fn step(&mut self) -> Result<Step<T::Endpoint>, IntakeError> {
        if !self.owed.is_empty() {
            let paid = self
                .dispatch
                .materialize(&self.owed)
                .map_err(IntakeError::Store)?;
            self.owed.clear();
            return Ok(Step::Taken(paid));
        }
        if self.back.is_some() {
            self.verify()?;
        }
        let (bounds, hold) = (self.dispatch.bounds(), self.dispatch.log().hold());
        if self.dispatch.intake_waits(&mut self.patience) {
            self.more = true;
            return Ok(Step::Held);
        }
        let batch = self.tail.read(
            self.cursor.event_id,
            bounds.of(BATCH_ROWS),
            bounds.of(BATCH_BYTES).min(hold.batch_bytes()),
        );
        let outbox::Batch { rows, keys, .. } = batch.map_err(IntakeError::Outbox)?;
        // Rows are read anew where the log refuses them: by then the outbox may have been put back.
        self.more = !rows.is_empty();
        if rows.is_empty() {
            return Ok(Step::Drained);
        }
        // A backup put back since the last look may have ids beyond the cursor again by now:
        // then there are events behind it that were never seen.
        if !is_same(&mut self.tail, &self.cursor).map_err(IntakeError::Outbox)? {
            match self.compare()? {
                Resume::Same(_) | Resume::Fresh(_) => {}
                // The log has it with what is admitted now.
                Resume::Updated(cursor) => self.cursor = cursor,
                settled => {
                    self.go_on_at(settled)?;
                    return Ok(Step::Taken(Vec::new()));
                }
            }
        }
        // A file that was removed can be read on and on: what is in it alone happened nowhere.
        if self.tail.replaced() {
            return Ok(Step::Replaced);
        }
        crash::point("take events in", "rows read");
        let taken = take_in(&self.dispatch, &rows, &self.cursor, &From::Ids(&keys))?;
        self.owed = taken.owed;
        self.more = taken.rows < rows.len();
        self.cursor = taken.cursor;
        Ok(Step::Taken(taken.touched))
    }

    /// Looks whether the rows behind the cursor are still those that were taken, and goes back
    /// to the newest that is.
    ///
    /// # Errors
    /// The outbox can't be read, the log not written, or nothing of it is known.
    pub(crate) fn verify(&mut self) -> Result<(), IntakeError> {
        let settled = self.compare()?;
        self.go_on_at(settled)
    }

    /// Looks, where somebody committed, whether the counter was set back below the cursor, which is
    /// certain only until it has passed it again.
    pub(crate) fn notice_set_back(&mut self) -> Result<(), IntakeError> {
        let sequence = self.tail.sequence().map_err(IntakeError::Outbox)?;
        if sequence < self.cursor.event_id {
            self.verify()?;
        }
        Ok(())
    }

    /// Looks now and then, where somebody committed, whether rows were written that the cursor had
    /// passed, and tells of them.
    ///
    /// # Errors
    /// The outbox can't be read, or the log not written: they are told of later.
    pub(crate) fn look_below(&mut self, changed: bool) -> Result<(), IntakeError> {
        self.below
            .look(changed, &mut self.tail, &self.cursor, &self.dispatch)
    }

    /// Where to go on by what the outbox holds now.
    fn compare(&mut self) -> Result<Resume, IntakeError> {
        let now_ms = self.dispatch.clock().now_ms();
        // Asked first: what is put back behind the question has another version by the next.
        let schema = self.tail.schema_version().map_err(IntakeError::Outbox)?;
        let steady = self.tail.vouched() == Some(schema);
        // From where it was to go back to, if the log does not know that yet: what led there may be
        // gone from the outbox by now, but where there is less of it still, it goes back further.
        let from = self.back.as_ref().map_or(&self.cursor, Resume::cursor);
        let settled = resolve_again(&mut self.tail, from.clone(), now_ms, steady)
            .map_err(IntakeError::Outbox)?
            .map_err(IntakeError::Refused)?;
        self.tail.vouch(schema);
        Ok(settled)
    }

    /// Goes on there, once the log has been told.
    fn go_on_at(&mut self, settled: Resume) -> Result<(), IntakeError> {
        let now_ms = self.dispatch.clock().now_ms();
        let settled = match (settled, self.back.take()) {
            (Resume::Same(_) | Resume::Fresh(_), None) => return Ok(()),
            (Resume::Same(_) | Resume::Fresh(_), Some(back)) => back,
            (Resume::Updated(cursor), Some(back)) => back.at(cursor),
            (settled, _) => settled,
        };
        let known_ms = settled.known_ms(now_ms);
        let told = self.dispatch.store().set_cursor(settled.cursor(), known_ms);
        match told {
            Ok(()) => {
                log_resume(&settled, self.cursor.event_id);
                self.cursor = settled.cursor().clone();
                Ok(())
            }
            Err(error) => {
                // What was changed is seen again; what was lost may not be.
                let goes_back = !matches!(settled, Resume::Updated(_));
                self.back = goes_back.then_some(settled);
                Err(IntakeError::Store(error))
            }
        }
    }
}

/// Says where to go on and why, where that is not where the log `was`.
pub(crate) fn log_resume(settled: &Resume, was: EventId) {
    match settled {
        Resume::Same(_) | Resume::Fresh(_) => {}
        Resume::Updated(cursor) => tracing::debug!(
            event_id = cursor.event_id.get(),
            "rows that were taken have been changed in the outbox since; they stay taken"
        ),
        Resume::Back(cursor) => tracing::warn!(
            from = cursor.event_id.get(),
            was = was.get(),
            generation = cursor.generation.get(),
            "the outbox lost rows that were taken (a backup put back, or a power cut): going on at the \
             newest row that is still the same; events behind it are sent again"
        ),
        Resume::Emptied(cursor, count) => tracing::warn!(
            was = was.get(),
            count,
            generation = cursor.generation.get(),
            "the outbox was emptied and its counter set back (or it was made anew): all that is in it \
             came after that, so it is taken from its beginning"
        ),
    }
}
