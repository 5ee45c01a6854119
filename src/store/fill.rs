//! How full a log is that has a size: what of its file is in use, and how long its WAL is.
//!
//! Asked after each commit, some microseconds; where there is no size nothing is asked. Left out: what
//! makes room (`early`, `checkpoint`), and who waits for it.

use rusqlite::Connection;

use super::wal::{self, WalBounds};

/// One part in so many of the file is kept free, so that work finds room until some of the old is deleted.
const FREE_SHARE: u64 = 16;

/// What a frame of the WAL has beside its page.
const FRAME_BYTES: u64 = 24;

/// How large a log may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeBounds {
    /// The file, so that it and a WAL that is cut are below the size that was asked for.
    pub file: u64,
    /// What is used of it: beyond this work is deleted.
    pub used: u64,
    /// The WAL's own.
    pub wal: WalBounds,
}

/// What there is no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// More of the file is in use than it may have: work is to be deleted.
    pub over: bool,
    /// The WAL is to be copied into the file soon.
    pub long: bool,
    /// The two together would be above the size before the WAL starts over.
    pub tight: bool,
}

impl SizeBounds {
    /// Those of a log that is to be below `max_bytes`.
    #[must_use]
    pub fn of(max_bytes: u64) -> Self {
        let wal = WalBounds::of(Some(max_bytes));
        let file = max_bytes.saturating_sub(wal.cut_bytes());
        Self {
            file,
            used: file - file / FREE_SHARE,
            wal,
        }
    }
}

impl Fill {
    /// Whether nothing more is to be taken in.
    #[must_use]
    pub fn is_full(self) -> bool {
        self.over || self.tight
    }
}

/// How full the log is, by what this connection sees.
pub(super) fn of(connection: &Connection, bounds: &SizeBounds) -> rusqlite::Result<Fill> {
    let pages = Pages::of(connection)?;
    let (length, copied): (u64, u64) = connection
        .prepare_cached("PRAGMA wal_checkpoint(NOOP)")?
        .query_row([], |row| {
            let number = |column| row.get(column).map(|n: i64| u64::try_from(n).unwrap_or(0));
            Ok((number(1)?, number(2)?))
        })?;
    // One that was copied whole starts over with the next commit.
    let length = if copied < length { length } else { 0 };
    let whole = pages.all() + length * (wal::PAGE + FRAME_BYTES);
    Ok(Fill {
        over: pages.used() > bounds.file,
        long: length > bounds.wal.long,
        tight: whole > bounds.file + bounds.wal.cut_bytes(),
    })
}

/// The pages of the file, with what is in the WAL of them.
pub(super) struct Pages {
    pub(super) bytes: u64,
    pub(super) count: u64,
    pub(super) free: u64,
}

impl Pages {
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            bytes: pragma(connection, "PRAGMA page_size")?.max(1),
            count: pragma(connection, "PRAGMA page_count")?,
            free: pragma(connection, "PRAGMA freelist_count")?,
        })
    }

    pub(super) fn all(&self) -> u64 {
        self.count * self.bytes
    }

    pub(super) fn used(&self) -> u64 {
        (self.count - self.free.min(self.count)) * self.bytes
    }
}

pub(super) fn pragma(connection: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    let number: i64 = connection
        .prepare_cached(pragma)?
        .query_row([], |row| row.get(0))?;
    Ok(u64::try_from(number).unwrap_or(0))
}
