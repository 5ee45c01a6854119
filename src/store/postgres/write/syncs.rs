//! What is on disk: the server sees to that by itself, within a second of each commit, so there is nothing to copy.
//!
//! What was committed is noted all the same, for whoever is told of it once a second writes the roll-up.

use super::Writer;
use crate::store::writes::Syncs;
use crate::store::{Error, WalBounds, WalState};

impl Syncs for Writer {
    fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    fn set_unsynced(&mut self, unsynced: bool) {
        self.unsynced = unsynced;
    }

    fn checkpoint(&mut self) -> Result<WalState, Error> {
        Ok(WalState::default())
    }

    fn wal_bounds(&self) -> WalBounds {
        WalBounds::default()
    }

    fn bound_wal(&mut self, _: WalBounds) -> Result<(), Error> {
        Ok(())
    }

    fn start_wal_over(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
