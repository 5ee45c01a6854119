//! How long the log's WAL may get: what it has in any log, and less where the log itself is to be small.
//!
//! Left out: who looks, and what becomes of one that is longer (`checkpoint`).

use super::connect;

/// A page in bytes.
pub(super) const PAGE: u64 = connect::PAGE_BYTES.unsigned_abs();

/// A WAL of 32 MiB is to start over; a shorter one costs nobody anything.
const LONG_PAGES: u64 = 4_096;

/// So much may be left, 4 MiB, when the writer is stopped for the rest: some milliseconds.
const LITTLE_PAGES: u64 = 512;

/// A WAL of 512 MiB starts over even where much is left: a pause is better than a full disk.
pub(super) const MOST_PAGES: u64 = 65_536;

/// How long the WAL may get, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalBounds {
    /// Then it is to start over.
    pub(super) long: u64,
    /// Where no more than this is left, the writer is stopped for it.
    pub(super) little: u64,
    /// Then it starts over whatever is left.
    pub(super) most: u64,
    /// It is cut to this.
    pub(super) cut: u64,
}

impl Default for WalBounds {
    fn default() -> Self {
        Self {
            long: LONG_PAGES,
            little: LITTLE_PAGES,
            most: MOST_PAGES,
            cut: connect::JOURNAL_LIMIT_BYTES.unsigned_abs() / PAGE,
        }
    }
}

impl WalBounds {
    /// None at all, for tests of what else is bounded.
    #[cfg(test)]
    pub(super) const NONE: Self = Self {
        long: 0,
        little: 0,
        most: 0,
        cut: 0,
    };

    /// Those of a log of that size: a quarter of it, where that is less than what any has.
    #[must_use]
    pub fn of(max_bytes: Option<u64>) -> Self {
        let all = Self::default();
        let Some(max_bytes) = max_bytes else {
            return all;
        };
        let quarter = (max_bytes / 4 / PAGE).max(8);
        let cut = all.cut.min(quarter);
        Self {
            long: all.long.min(cut / 2),
            little: all.little.min(cut / 8),
            most: all.most.min(quarter),
            cut,
        }
    }

    /// What it is cut to, in bytes.
    #[must_use]
    pub fn cut_bytes(self) -> u64 {
        self.cut * PAGE
    }
}
