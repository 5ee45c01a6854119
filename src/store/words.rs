//! The words of the log that its tables hold as numbers: the views write them out (`views/views.sql`).
//!
//! The first of each is 0, which takes no byte in a row. A number is never given another meaning; a word
//! that is not known here stands in its column as itself.

use rusqlite::types::ValueRef;

use crate::model::{Dialect, Trigger, Verdict};

/// Of `attempt.outcome`: delivered, and that is how its delivery ended.
pub(super) const DELIVERED: i64 = 1;

/// Delivered once more than it had to be.
pub(super) const AGAIN: i64 = 3;

/// Of `ended.state`.
pub(super) const FAILED: i64 = 0;

/// The same.
pub(super) const CANCELLED: i64 = 1;

const DIALECTS: [Dialect; 4] = [
    Dialect::BoldCms,
    Dialect::BoldFactory,
    Dialect::OpenboxesLift,
    Dialect::StandardWebhooks,
];

const ORIGINS: [Trigger; 4] = [
    Trigger::Event,
    Trigger::Redelivery,
    Trigger::Replay,
    Trigger::Test,
];

pub(super) fn of_dialect(dialect: Dialect) -> i64 {
    match dialect {
        Dialect::BoldCms => 0,
        Dialect::BoldFactory => 1,
        Dialect::OpenboxesLift => 2,
        Dialect::StandardWebhooks => 3,
    }
}

pub(super) fn of_origin(origin: Trigger) -> i64 {
    match origin {
        Trigger::Event => 0,
        Trigger::Redelivery => 1,
        Trigger::Replay => 2,
        Trigger::Test => 3,
    }
}

pub(super) fn of_verdict(verdict: Verdict) -> i64 {
    match verdict {
        Verdict::RetryAt(_) => 0,
        Verdict::Delivered => DELIVERED,
        Verdict::Failed => 2,
    }
}

/// The dialect of a column, unless it is none that is known here.
pub(super) fn dialect(value: ValueRef<'_>) -> Option<Dialect> {
    named(value, &DIALECTS)
}

/// The origin of a column, unless it is none that is known here.
pub(super) fn origin(value: ValueRef<'_>) -> Option<Trigger> {
    named(value, &ORIGINS)
}

fn named<T: Copy>(value: ValueRef<'_>, all: &[T]) -> Option<T> {
    let number = usize::try_from(value.as_i64().ok()?).ok()?;
    all.get(number).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    /// What the views write out of a number is the word that the number stands for.
    #[test]
    fn the_views_know_the_same_words() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("log.db"), 1).unwrap();
        for (id, dialect) in (1_i64..).zip(DIALECTS) {
            assert_eq!(
                self::dialect(ValueRef::Integer(of_dialect(dialect))),
                Some(dialect)
            );
            let sql = "INSERT INTO payload (id, generation, event_id, event, dialect, size) VALUES (?1, 1, ?1, 'e', ?2, 0)";
            let row = (id, of_dialect(dialect));
            store.connection.execute(sql, row).unwrap();
        }
        assert_eq!(dialect(ValueRef::Integer(4)), None);
        for (id, origin) in (1_i64..).zip(ORIGINS) {
            assert_eq!(
                self::origin(ValueRef::Integer(of_origin(origin))),
                Some(origin)
            );
            let sql = "INSERT INTO parked (id, webhook_id, payload_id, origin, attempts, due_at, created_at)
                       VALUES (?1, 1, ?1, ?2, 0, 0, 0)";
            let row = (id, of_origin(origin));
            store.connection.execute(sql, row).unwrap();
        }
        let sql = "SELECT group_concat(dialect || ' ' || origin) FROM delivery";
        let words: String = store
            .connection
            .query_row(sql, [], |row| row.get(0))
            .unwrap();
        let row = |n: usize| format!("{} {}", DIALECTS[n].name(), ORIGINS[n].name());
        assert_eq!(words, [0, 1, 2, 3].map(row).join(","));
    }
}
