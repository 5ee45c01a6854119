//! Rows with ids that the cursor has passed, written where no guard refuses them.
//!
//! The trigger of the schema keeps ids going up. A table that was rebuilt without it, or is the
//! application's own, may get a row below the newest id: it is never read from behind the cursor, so
//! nobody would get it and nobody know. It is set aside in `rejected`, for nothing tells in which order
//! it belongs, and told.
//!
//! The log keeps the ids that the cursor passed where there was no row: a row in such a gap was never
//! taken. They are looked at after a start and whenever the schema has changed, so also where the guard
//! was away and is back. Where it is missing, the ids at and below the cursor are compared with those
//! of the look before, too; at the first such look, rows later than the last look with the guard that
//! have left no trace in the log stand for it.
//!
//! A row that was deleted and written anew under an id that was taken is not told of: by its id it is
//! the one that was taken, and the same to REPLACE. With the guard in its place nothing is read but
//! the schema's version, and that not once for each commit.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

use super::error::IntakeError;
use crate::model::{Cursor, EventId, Generation, IdRange, Rejected};
use crate::outbox::{Row, Tail};
use crate::pipeline::send::Dispatch;
use crate::transport::Transport;

/// Between two looks at ids; or so many times as long as the last look took.
const EVERY: (Duration, u32) = (Duration::from_secs(1), 100);

/// Ids that are watched, the newest: 8 MiB of bits.
const WATCHED: i64 = 1 << 26;

/// Rows set aside at one look; the rest waits for the next.
const ASIDE: usize = 1_000;

const REASON: &str = "it was written with an id that is not above those taken before, where no \
                      trigger refused it, and is not sent: put the trigger of `webhooksd schema \
                      outbox` back, and write the event again without an id";

/// Some ids, a bit each.
#[derive(Debug, Default)]
struct Ids(BTreeMap<i64, [u64; 8]>);

impl Ids {
    fn bit_of(id: EventId) -> (i64, usize, u64) {
        let id = id.get();
        let within = usize::try_from(id & 511).unwrap_or_default();
        (id >> 9, within / 64, 1 << (within % 64))
    }

    fn add(&mut self, id: EventId) {
        let (block, word, bit) = Self::bit_of(id);
        self.0.entry(block).or_default()[word] |= bit;
    }

    fn remove(&mut self, id: EventId) {
        let (block, word, bit) = Self::bit_of(id);
        if let Some(words) = self.0.get_mut(&block) {
            words[word] &= !bit;
        }
    }

    #[cfg(test)]
    fn has(&self, id: EventId) -> bool {
        let (block, word, bit) = Self::bit_of(id);
        self.0
            .get(&block)
            .is_some_and(|words| words[word] & bit != 0)
    }

    /// Those that `others` has not, in their order.
    fn without(&self, others: &Self) -> Vec<EventId> {
        let mut ids = Vec::new();
        for (block, words) in &self.0 {
            let theirs = others.0.get(block);
            for (index, word) in words.iter().enumerate() {
                let mut left = word & !theirs.map_or(0, |words| words[index]);
                while left != 0 {
                    let at = i64::from(left.trailing_zeros()) + 64 * number_of(index);
                    ids.push(EventId::new((block << 9) + at));
                    left &= left - 1;
                }
            }
        }
        ids
    }
}

fn number_of(index: usize) -> i64 {
    i64::try_from(index).unwrap_or_default()
}

/// The ids of a look.
#[derive(Debug)]
struct Seen {
    generation: Generation,
    /// The cursor's place then.
    last: EventId,
    ids: Ids,
}

/// What is known of the rows below.
#[derive(Debug, Default)]
pub(super) struct Below {
    /// The schema's version at the last look, and whether it has the guard.
    guard: Option<(i64, bool)>,
    seen: Option<Seen>,
    /// Where the cursor was when the rows were last known to be in order: generation, id, and that
    /// moment in UNIX milliseconds.
    since: (Generation, EventId, i64),
    /// Somebody committed since the last look.
    asked: bool,
    /// Not sooner than that.
    next: Option<Instant>,
}

impl Below {
    /// A log that followed the outbox up to there.
    pub(super) fn new(cursor: &Cursor) -> Self {
        Self {
            since: (cursor.generation, cursor.event_id, cursor.time_ms),
            asked: true,
            ..Self::default()
        }
    }

    /// Looks, if somebody committed, which `changed` says, and it is time to.
    pub(super) fn look<T: Transport>(
        &mut self,
        changed: bool,
        tail: &mut Tail,
        cursor: &Cursor,
        dispatch: &Dispatch<T>,
    ) -> Result<(), IntakeError> {
        self.asked |= changed;
        if !self.asked {
            return Ok(());
        }
        let begun = dispatch.clock().instant();
        if self.next.is_some_and(|next| begun < next) {
            return Ok(());
        }
        self.next = Some(begun + EVERY.0);
        let schema = tail.schema_version().map_err(IntakeError::Outbox)?;
        let guarded = match self.guard {
            Some((version, guarded)) if version == schema => guarded,
            _ => tail.is_guarded().map_err(IntakeError::Outbox)?,
        };
        // Under the guard nothing comes; what came before it was put back is told of once more.
        if !guarded || self.seen.is_some() {
            self.look_at_ids(tail, cursor, dispatch)?;
        }
        // After those, which are no longer in a gap once they were told of.
        if !guarded || self.guard != Some((schema, true)) {
            look_at_gaps(tail, cursor, dispatch)?;
        }
        if guarded {
            self.seen = None;
        }
        self.guard = Some((schema, guarded));
        self.since = (
            cursor.generation,
            cursor.event_id,
            dispatch.clock().now_ms(),
        );
        self.asked = false;
        let took = dispatch.clock().instant().saturating_duration_since(begun);
        self.next = Some(begun + EVERY.0.max(took * EVERY.1));
        Ok(())
    }

    fn look_at_ids<T: Transport>(
        &mut self,
        tail: &mut Tail,
        cursor: &Cursor,
        dispatch: &Dispatch<T>,
    ) -> Result<(), IntakeError> {
        let last = cursor.event_id;
        let mut now = Seen {
            generation: cursor.generation,
            last,
            ids: Ids::default(),
        };
        let watched = IdRange {
            after: last.back(WATCHED),
            up_to: last,
        };
        tail.ids(watched, |id| now.ids.add(id))
            .map_err(IntakeError::Outbox)?;
        let before = (self.seen.as_ref()).filter(|seen| seen.generation == now.generation);
        let mut found = match before {
            Some(seen) => {
                let mut ids = now.ids.without(&seen.ids);
                ids.retain(|id| *id <= seen.last);
                ids
            }
            None if self.since.0 == now.generation => {
                let (_, id, time_ms) = self.since;
                tail.ids_later_than(time_ms, id, ASIDE)
                    .map_err(IntakeError::Outbox)?
            }
            None => Vec::new(),
        };
        // Those that have to wait are found again.
        for id in found.drain(found.len().min(ASIDE)..) {
            now.ids.remove(id);
        }
        let unless_traced = before.is_none();
        if !found.is_empty() {
            set_aside(tail, cursor, dispatch, &found, unless_traced)?;
        }
        self.seen = Some(now);
        Ok(())
    }
}

/// Tells of rows where the cursor found none when it passed.
fn look_at_gaps<T: Transport>(
    tail: &mut Tail,
    cursor: &Cursor,
    dispatch: &Dispatch<T>,
) -> Result<(), IntakeError> {
    let gaps = dispatch.store().gaps().map_err(IntakeError::Store)?;
    let passed = |gap: &RangeInclusive<EventId>| *gap.end() <= cursor.event_id;
    for mut gap in gaps.into_iter().filter(passed) {
        loop {
            let found = (tail.ids_between(&gap, ASIDE)).map_err(IntakeError::Outbox)?;
            if !found.is_empty() {
                set_aside(tail, cursor, dispatch, &found, false)?;
            }
            match found.last() {
                Some(id) if found.len() == ASIDE => gap = id.next()..=*gap.end(),
                _ => break,
            }
        }
    }
    Ok(())
}

/// Sets the rows with these ids aside, and tells of them.
fn set_aside<T: Transport>(
    tail: &mut Tail,
    cursor: &Cursor,
    dispatch: &Dispatch<T>,
    ids: &[EventId],
    unless_traced: bool,
) -> Result<(), IntakeError> {
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let (event, time_ms, tenant) = match tail.row(*id).map_err(IntakeError::Outbox)? {
            Some(Row::Event(event)) => (event.name.to_string(), event.time_ms, event.tenant),
            Some(Row::Rejected(row)) => (row.event, row.time_ms, row.tenant),
            None => continue,
        };
        rows.push(Rejected {
            event_id: *id,
            event,
            reason: REASON.to_owned(),
            time_ms,
            tenant,
        });
    }
    let now_ms = dispatch.clock().now_ms();
    let mut log = dispatch.store();
    let count = log
        .set_aside(cursor.generation, &rows, unless_traced, now_ms)
        .map_err(IntakeError::Store)?;
    dispatch.look_for_own(&mut log);
    drop(log);
    if count > 0 {
        dispatch.counters().admitted(0, count);
        tracing::warn!(
            count,
            first = ids.first().map(|id| id.get()),
            newest = cursor.event_id.get(),
            "rows were written with ids at or below the newest that was taken, and are not sent: the \
             trigger that refuses them is missing, or was (`webhooksd schema outbox` has it); they \
             were set aside in rejected"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_are_told_apart(
            old in proptest::collection::btree_set(1_i64..5_000, 0..200),
            new in proptest::collection::btree_set(1_i64..5_000, 0..200),
        ) {
            let of = |ids: &std::collections::BTreeSet<i64>| {
                let mut bits = Ids::default();
                ids.iter().for_each(|id| bits.add(EventId::new(*id)));
                bits
            };
            let (before, mut now) = (of(&old), of(&new));
            let more: Vec<EventId> = new.difference(&old).copied().map(EventId::new).collect();
            prop_assert_eq!(now.without(&before), more.clone());
            for id in &more {
                prop_assert!(now.has(*id));
                now.remove(*id);
            }
            prop_assert!(now.without(&before).is_empty());
        }
    }
}
