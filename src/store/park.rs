//! Parks what memory may have let go of, so that whoever looks for what is pending finds it: see `lost`.

use super::faults::DoingWith as _;
use super::lost::Lost;
use super::{Error, Store};

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
