//! Which attempts were made: the newest that pass a filter, then those that are made meanwhile.
//!
//! Ids first and rows afterwards, so that who shows many of them holds few at a time.

use crate::model::AttemptId;
use crate::store::{Error, LogFilter, LogReader, LogRow, LogText, Newest};

/// Rows that are looked through at a time while following.
const FOLLOWED: usize = 1_000;

/// The attempts of a log that pass a filter.
pub(crate) struct Attempts {
    reader: Box<dyn LogReader>,
    filter: LogFilter,
    /// The last attempt that was looked at.
    last: AttemptId,
    /// The log's version at the last look that found nothing more.
    version: Option<i64>,
}

/// Attempts made since the last look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fresh {
    /// Their ids, the oldest first.
    pub ids: Vec<AttemptId>,
    /// There may be more at once.
    pub more: bool,
}

impl Attempts {
    /// Those of that log.
    #[must_use]
    pub(crate) fn new(reader: Box<dyn LogReader>, filter: LogFilter) -> Self {
        Self {
            reader,
            filter,
            last: AttemptId::NONE,
            version: None,
        }
    }

    /// The newest ones, at most `count`, the oldest of them first. [`Self::fresh`] goes on from here.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn newest(&mut self, count: usize) -> Result<Newest, Error> {
        // Asked first: what is made meanwhile is at worst looked at twice, never left out.
        let last = self.reader.newest_id()?;
        let newest = self.reader.newest(&self.filter, count)?;
        self.last = last.max(newest.ids.last().copied().unwrap_or_default());
        Ok(newest)
    }

    /// Those made since; nothing is read where nothing was committed.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn fresh(&mut self) -> Result<Fresh, Error> {
        let now = self.reader.version()?;
        if self.version == Some(now) {
            let ids = Vec::new();
            return Ok(Fresh { ids, more: false });
        }
        let (ids, looked_to) = self.reader.after(self.last, &self.filter, FOLLOWED)?;
        let more = looked_to > self.last;
        self.last = looked_to;
        if !more {
            self.version = Some(now);
        }
        Ok(Fresh { ids, more })
    }

    /// The attempts with these ids, in this order; those that retention has taken are left out.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn rows(&self, ids: &[AttemptId]) -> Result<Vec<LogRow>, Error> {
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            rows.extend(self.reader.attempt(*id)?);
        }
        Ok(rows)
    }

    /// What was said in an attempt: headers and bodies.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn text(&self, id: AttemptId) -> Result<Option<LogText>, Error> {
        self.reader.attempt_text(id)
    }
}
