//! Fingerprints: how the cursor knows that it still looks at the same rows.
//!
//! Ids are given in commit order and never twice, but for a backup that is put back, another file
//! under the same path, a counter that is set back, or a power cut that takes back commits. So the
//! cursor carries prints of rows at growing distances behind it: enough to find, in a few look-ups,
//! the newest row that is still the one that was taken. What a print that differs means is judged
//! by `evidence`.
//!
//! Where the outbox was emptied, its former prints are kept beside the new ones: by them a backup is
//! known that is put back after that.

use std::cmp::Reverse;

use crate::dialect;
use crate::model::event::MAX_TIME_MS;
use crate::model::print::{Columns, Print};
use crate::model::{Cursor, EventId};
use crate::outbox::Row;

/// The id and the print of a row.
pub(crate) type Known = (EventId, Print);

/// So many former prints are kept, which reach as far back as four thousand million rows.
const FORMER: usize = 64;

/// The former prints that are left of a cursor where its rows are gone, and ids begin anew.
pub(crate) fn former(cursor: &Cursor) -> Vec<Known> {
    let mut former: Vec<Known> = [&*cursor.fingerprints, &*cursor.former].concat();
    former.sort_by_key(|(id, _)| Reverse(*id));
    former.truncate(FORMER);
    former
}

/// The print of a row with that key. Of a row that was set aside the data is left out, for it may be
/// too long to be read.
pub(crate) fn print(row: &Row, key: Option<&str>) -> Print {
    let key = key.map_or(0, |key| hash(key.as_bytes()).max(1));
    let columns = match row {
        Row::Event(event) => {
            let tenant = event.tenant.as_deref();
            let tenant = tenant.map_or(0, |text| !hash(text.as_bytes()));
            Columns {
                time_ms: event.time_ms,
                data: hash(event.data.as_bytes()).max(1),
                key,
                rest: upper(hash(event.name.as_bytes()) ^ tenant),
            }
        }
        Row::Rejected(row) => Columns {
            time_ms: row.time_ms.clamp(0, MAX_TIME_MS),
            data: 0,
            key,
            rest: upper(hash(row.event.as_bytes())),
        },
    };
    Print::Columns(columns)
}

fn upper(hash: u32) -> u16 {
    u16::try_from(hash >> 16).unwrap_or_default()
}

/// Whether a row is the same in every column as the one that the print was made of; `None` where that
/// can't be told, for the row was sent and is over a limit by now that was made smaller.
pub(crate) fn is_of(kept: &Print, row: &Row, key: Option<&str>) -> Option<bool> {
    match (kept, row) {
        (Print::Columns(was), Row::Rejected(_)) if was.data != 0 => None,
        (Print::Columns(_), _) => Some(*kept == print(row, key)),
        (Print::Whole(half), Row::Event(event)) => Some(dialect::digest(event)[..16] == *half),
        (Print::Whole(_), Row::Rejected(_)) => None,
    }
}

/// A number for some bytes, the same on every machine and in every version. Against accident only:
/// each step is one-to-one for the bytes behind it, and costs a multiplication for 8 bytes.
pub(crate) fn hash(bytes: &[u8]) -> u32 {
    let mut sum = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum ^= sum >> 29;
    }
    // The upper bits have seen all of it.
    u32::try_from(sum.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32).unwrap_or_default()
}

/// The fingerprints for a cursor at `cursor_id`, newest first: of the old ones and those of the
/// batch just read, the newest and the oldest at each distance of 0, 1, 2–3, 4–7, 8–15 …
///
/// Both, because the oldest is the one that soon grows into the next distance, and the newest is
/// then what is left in this one. `keys` are those of the batch, in the order of the ids.
pub(crate) fn thin(
    old: &[Known],
    batch: &[Row],
    keys: &[(EventId, Box<str>)],
    cursor_id: EventId,
) -> Vec<Known> {
    // Only rows near a power of two can be kept, so only of those are prints made.
    let wanted = |back: usize| (back + 1).is_power_of_two();
    let fresh = batch
        .iter()
        .rev()
        .enumerate()
        .filter(|(back, _)| wanted(*back));
    let mut kept: Vec<Known> = fresh
        .map(|(_, row)| {
            let key = keys.binary_search_by_key(&row.id(), |(id, _)| *id);
            let key = key.ok().map(|index| &*keys[index].1);
            (row.id(), print(row, key))
        })
        .collect();
    kept.extend(old.iter().filter(|(id, _)| *id <= cursor_id));
    kept.sort_by_key(|(id, _)| Reverse(*id));
    kept.dedup_by_key(|(id, _)| *id);
    let distance = |id| cursor_id.distance_from(id).max(0).checked_ilog2();
    let mut thinned: Vec<Known> = Vec::with_capacity(kept.len());
    for (index, entry) in kept.iter().enumerate() {
        let same =
            |other: Option<&Known>| other.is_some_and(|o| distance(o.0) == distance(entry.0));
        let newest = index == 0 || !same(kept.get(index - 1));
        if newest || !same(kept.get(index + 1)) {
            thinned.push(*entry);
        }
    }
    thinned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Event, Rejected};
    use proptest::prelude::*;

    fn event(id: i64) -> Event {
        Event {
            id: EventId::new(id),
            name: "e".into(),
            data: "{}".into(),
            time_ms: id,
            tenant: None,
        }
    }

    #[test]
    fn a_print_is_of_every_column() {
        let row = event(1);
        let of = |event: &Event| print(&Row::Event(event.clone()), None);
        assert_eq!(of(&row), of(&row));
        let mut others = [row.clone(), row.clone(), row.clone(), row.clone()];
        others[0].data = "{ }".into();
        others[1].name = "f".into();
        others[2].tenant = Some("e".into());
        others[3].time_ms = 2;
        for other in &others {
            assert_ne!(of(&row), of(other));
        }
        let keyed = |key| print(&Row::Event(row.clone()), key);
        assert_ne!(keyed(None), keyed(Some("")));
        assert_ne!(keyed(Some("a")), keyed(Some("b")));
    }

    #[test]
    fn the_prints_of_version_0_1_know_their_rows() {
        let digest = dialect::digest(&event(1));
        let old = Print::Whole(digest[..16].try_into().unwrap());
        let is_of = |id, key| is_of(&old, &Row::Event(event(id)), key);
        assert_eq!(is_of(1, Some("any")), Some(true));
        assert_eq!(is_of(2, None), Some(false));
    }

    #[test]
    fn a_row_that_was_set_aside_is_known_again_whatever_the_limits_are_by_now() {
        let aside = |time_ms, reason: &str| {
            Row::Rejected(Rejected {
                event_id: EventId::new(1),
                event: "e".into(),
                reason: reason.into(),
                time_ms,
                tenant: None,
            })
        };
        let kept = print(&aside(1, "too long"), None);
        assert_eq!(is_of(&kept, &aside(1, "much too long"), None), Some(true));
        assert_eq!(is_of(&kept, &aside(2, "too long"), None), Some(false));
        assert_eq!(is_of(&kept, &Row::Event(event(1)), None), Some(false));
        let sent = print(&Row::Event(event(1)), None);
        assert_eq!(is_of(&sent, &aside(1, "too long"), None), None);
    }

    proptest! {
        #[test]
        fn a_byte_more_or_other_is_another_hash(bytes: Vec<u8>, at: usize, other in 1_u8..) {
            let mut changed = bytes.clone();
            changed.push(0);
            prop_assert_ne!(hash(&changed), hash(&bytes));
            let at = at % changed.len();
            let before = hash(&changed);
            changed[at] ^= other;
            prop_assert_ne!(hash(&changed), before);
        }

        /// Whatever the batches, there is an entry within a factor of four of every distance.
        #[test]
        fn every_distance_is_covered(batches in proptest::collection::vec(1_i64..40, 1..200)) {
            let (mut prints, mut cursor) = (Vec::new(), 0);
            for size in batches {
                let ids = cursor + 1..=cursor + size;
                let rows: Vec<Row> = ids.map(event).map(Row::Event).collect();
                cursor += size;
                prints = thin(&prints, &rows, &[], EventId::new(cursor));
            }
            prop_assert_eq!(prints[0].0.get(), cursor);
            prop_assert!(prints.len() <= 2 + 2 * 54);
            let mut far = 4;
            while far < cursor {
                prop_assert!(prints.iter().any(|(id, _)| (far / 4..=far).contains(&(cursor - id.get()))),
                    "nothing between {} and {far} behind {cursor}: {:?}", far / 4, prints);
                far *= 4;
            }
        }
    }
}
