//! Fingerprints: how the cursor knows that it still looks at the same rows.
//!
//! Ids are given in commit order and never twice, but for a backup that is put back, another file
//! under the same path, a counter that is set back, or a power cut that takes back commits. So the
//! cursor carries prints of rows at growing distances behind it: enough to find, in a few look-ups,
//! the newest row that is still the one that was taken. What a print that differs means is judged
//! by `evidence`.

use crate::dialect;
use crate::model::Event;
use crate::model::print::{Columns, Print};

/// The id and the print of a row.
pub(crate) type Known = (i64, Print);

/// The print of an event with that key.
pub(crate) fn print(event: &Event, key: Option<&str>) -> Print {
    let tenant = event.tenant.as_deref();
    let rest = hash(event.name.as_bytes()) ^ tenant.map_or(0, |text| !hash(text.as_bytes()));
    Print::Columns(Columns {
        time_ms: event.time_ms,
        data: hash(event.data.as_bytes()),
        key: key.map_or(0, |key| hash(key.as_bytes()).max(1)),
        rest: u16::try_from(rest >> 16).unwrap_or_default(),
    })
}

/// Whether a print says that the row is the same in every column.
pub(crate) fn is_of(kept: &Print, event: &Event, key: Option<&str>) -> bool {
    match kept {
        Print::Columns(_) => *kept == print(event, key),
        Print::Whole(half) => dialect::digest(event)[..16] == *half,
    }
}

/// A number for some bytes, the same on every machine and in every version. Against accident only:
/// each step is one-to-one for the bytes behind it, and costs a multiplication for 8 bytes.
fn hash(bytes: &[u8]) -> u32 {
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
    batch: &[&Event],
    keys: &[(i64, Box<str>)],
    cursor_id: i64,
) -> Vec<Known> {
    // Only rows near a power of two can be kept, so only of those are prints made.
    let wanted = |back: usize| (back + 1).is_power_of_two();
    let fresh = batch
        .iter()
        .rev()
        .enumerate()
        .filter(|(back, _)| wanted(*back));
    let mut kept: Vec<Known> = fresh
        .map(|(_, event)| {
            let key = keys.binary_search_by_key(&event.id, |(id, _)| *id);
            let key = key.ok().map(|place| &*keys[place].1);
            (event.id, print(event, key))
        })
        .collect();
    kept.extend(old.iter().filter(|(id, _)| *id <= cursor_id));
    kept.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    kept.dedup_by_key(|(id, _)| *id);
    let distance = |id: i64| (cursor_id - id).max(0).checked_ilog2();
    let mut thinned: Vec<Known> = Vec::with_capacity(kept.len());
    for (place, entry) in kept.iter().enumerate() {
        let same =
            |other: Option<&Known>| other.is_some_and(|o| distance(o.0) == distance(entry.0));
        let newest = place == 0 || !same(kept.get(place - 1));
        if newest || !same(kept.get(place + 1)) {
            thinned.push(*entry);
        }
    }
    thinned
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(id: i64) -> Event {
        Event {
            id,
            name: "e".into(),
            data: "{}".into(),
            time_ms: id,
            tenant: None,
        }
    }

    #[test]
    fn a_print_is_of_every_column() {
        let row = event(1);
        let print_of = |event: &Event| print(event, None);
        assert_eq!(print_of(&row), print_of(&row));
        for other in [
            Event {
                data: "{ }".into(),
                ..row.clone()
            },
            Event {
                name: "f".into(),
                ..row.clone()
            },
            Event {
                tenant: Some("e".into()),
                ..row.clone()
            },
            Event {
                time_ms: 2,
                ..row.clone()
            },
        ] {
            assert_ne!(print_of(&row), print_of(&other));
        }
        assert_ne!(print(&row, None), print(&row, Some("")));
        assert_ne!(print(&row, Some("a")), print(&row, Some("b")));
    }

    #[test]
    fn the_prints_of_version_0_1_know_their_rows() {
        let digest = dialect::digest(&event(1));
        let old = Print::Whole(digest[..16].try_into().unwrap());
        assert!(is_of(&old, &event(1), Some("any")));
        assert!(!is_of(&old, &event(2), None));
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
                let rows: Vec<Event> = (cursor + 1..=cursor + size).map(event).collect();
                cursor += size;
                prints = thin(&prints, &rows.iter().collect::<Vec<_>>(), &[], cursor);
            }
            prop_assert_eq!(prints[0].0, cursor);
            prop_assert!(prints.len() <= 2 + 2 * 54);
            let mut far = 4;
            while far < cursor {
                prop_assert!(prints.iter().any(|(id, _)| (far / 4..=far).contains(&(cursor - id))),
                    "nothing between {} and {far} behind {cursor}: {:?}", far / 4, prints);
                far *= 4;
            }
        }
    }
}
