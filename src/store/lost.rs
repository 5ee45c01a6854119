//! That memory has let go of something that is pending without writing down what became of it.
//!
//! A row of `queued` has no index and is looked for by nobody, for memory has it. So whoever lets go of
//! one says so here, and every look for what is pending parks all that is queued first, where that was
//! said: what is in neither place by then is found like any other. What memory still holds may be
//! parked as well; a look passes over it. When a log is opened, all of it was lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::faults::DoingWith as _;
use super::{Error, Store};

/// Says that something was let go of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost(Arc<AtomicBool>);

impl Lost {
    /// Something was.
    pub(crate) fn tell(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

impl Store {
    /// Where to say that something was let go of.
    pub(crate) fn lost(&self) -> Lost {
        self.lost.clone()
    }

    /// Parks what is queued, if some of it was let go of.
    pub(super) fn park_lost(&mut self) -> Result<(), Error> {
        if !self.lost.take() {
            return Ok(());
        }
        let parked = self.park();
        if parked.is_err() {
            self.lost.tell();
        }
        parked
    }

    fn park(&mut self) -> Result<(), Error> {
        let any: bool = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM queued)")
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .doing_with(&self.faults, "look for queued deliveries")?;
        if !any {
            return Ok(());
        }
        self.transact("park deliveries", |t| {
            t.execute_batch("INSERT INTO parked SELECT * FROM queued; DELETE FROM queued")
        })
    }
}
