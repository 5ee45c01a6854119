//! Logs that have little room: work goes early all through the week, with every trouble beside it.
//!
//! Only in weeks from [`FROM`] on: those before are what they were. That what is pending stays, with its body,
//! the oracle holds after every commit of any week; finished rows may be gone in any, for their days
//! may be over. Here it holds that the log is below its size once all is at rest.

use super::super::process::lock;
use super::super::rng::Rng;
use super::World;
use crate::store;

/// The first seed whose week has this.
pub(in super::super) const FROM: u64 = 7_000_000_000;

/// Sizes to be kept below; an empty log has some 300,000 bytes.
const SIZES: [u64; 3] = [600_000, 700_000, 900_000];

/// The size of such a week's log.
pub(super) fn max_bytes(seed: u64) -> Option<u64> {
    (seed >= FROM).then(|| *Rng::new(seed, 11).of(&SIZES))
}

impl World {
    pub(super) fn look_at_the_size(&self) {
        let Some(max_bytes) = self.subscriptions.log_max_bytes else {
            return;
        };
        let (file, wal) = store::size(&self.files.log);
        if file + wal >= max_bytes {
            let promise = format!("at rest the log has {file} and {wal} bytes, of {max_bytes}");
            lock(&self.oracle).broke(&promise);
        }
    }
}
