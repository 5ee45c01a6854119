//! Fingerprints: how the cursor knows that it still looks at the same rows.
//!
//! Ids are given in commit order and never twice, but for a backup that is put back, another file
//! under the same path, or a power cut that takes back commits. So the cursor carries digests of
//! rows at growing distances behind it: enough to find, in a few look-ups, the newest row that is
//! still the one that was taken.

use crate::dialect;
use crate::model::{Event, Rejected};
use crate::outbox::Row;

/// A row's digest: the first half of SHA-256, plenty against accident.
pub(crate) type Print = (i64, [u8; 16]);

/// What the digest of a row that was set aside begins with.
const ASIDE: [u8; 8] = [0; 8];

/// The fingerprint of an event.
fn print(event: &Event) -> Print {
    let digest = dialect::digest(event);
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    (event.id, half)
}

/// The fingerprint of a row that was set aside: of its name and its time, for its data may be too long
/// to be read. It begins with zeros, as no other does, so that each is compared with its like.
fn print_aside(row: &Rejected) -> Print {
    let stand_in = Event {
        id: row.event_id,
        name: row.event.as_str().into(),
        data: "".into(),
        time_ms: row.time_ms,
        tenant: None,
    };
    let (id, mut half) = print(&stand_in);
    half[..ASIDE.len()].copy_from_slice(&ASIDE);
    (id, half)
}

/// Whether a row is the one that the digest was taken of; `None` where that can't be told, for the
/// row was sent and is over a limit by now that was made smaller.
pub(crate) fn is_of(row: &Row, digest: &[u8; 16]) -> Option<bool> {
    let was_set_aside = digest.starts_with(&ASIDE);
    match row {
        Row::Event(event) if !was_set_aside => Some(print(event).1 == *digest),
        // It was mended, or a limit made larger.
        Row::Event(event) => {
            let aside = Rejected {
                event_id: event.id,
                event: event.name.to_string(),
                reason: String::new(),
                time_ms: event.time_ms,
            };
            Some(print_aside(&aside).1 == *digest)
        }
        Row::Unsendable(row) if was_set_aside => Some(print_aside(row).1 == *digest),
        Row::Unsendable(_) => None,
    }
}

fn print_row(row: &Row) -> Print {
    match row {
        Row::Event(event) => print(event),
        Row::Unsendable(row) => print_aside(row),
    }
}

/// The fingerprints for a cursor at `cursor_id`, newest first: of the old ones and those of the
/// batch just read, the newest and the oldest at each distance of 0, 1, 2–3, 4–7, 8–15 …
///
/// Both, because the oldest is the one that soon grows into the next distance, and the newest is
/// then what is left in this one.
pub(crate) fn thin(old: &[Print], batch: &[Row], cursor_id: i64) -> Vec<Print> {
    // Only rows near a power of two can be kept, so only those are digested.
    let wanted = |back: usize| (back + 1).is_power_of_two();
    let fresh = batch
        .iter()
        .rev()
        .enumerate()
        .filter(|(back, _)| wanted(*back));
    let mut kept: Vec<Print> = fresh.map(|(_, row)| print_row(row)).collect();
    kept.extend(old.iter().filter(|(id, _)| *id <= cursor_id));
    kept.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    kept.dedup_by_key(|(id, _)| *id);
    let distance = |id: i64| (cursor_id - id).max(0).checked_ilog2();
    let mut thinned: Vec<Print> = Vec::with_capacity(kept.len());
    for (place, entry) in kept.iter().enumerate() {
        let same =
            |other: Option<&Print>| other.is_some_and(|o| distance(o.0) == distance(entry.0));
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
    fn a_print_is_of_the_whole_row() {
        let other = Event {
            data: "{ }".into(),
            ..event(1)
        };
        assert_eq!(print(&event(1)), print(&event(1)));
        assert_ne!(print(&event(1)).1, print(&other).1);
    }

    #[test]
    fn a_row_that_was_set_aside_is_known_again_whatever_the_limits_are_by_now() {
        let aside = |time_ms, reason: &str| {
            Row::Unsendable(Rejected {
                event_id: 1,
                event: "e".into(),
                reason: reason.into(),
                time_ms,
            })
        };
        let (_, kept) = print_row(&aside(1, "too long"));
        assert_eq!(is_of(&aside(1, "much too long"), &kept), Some(true));
        assert_eq!(is_of(&aside(2, "too long"), &kept), Some(false));
        assert_eq!(is_of(&Row::Event(event(1)), &kept), Some(true), "mended");
        let later = Event {
            time_ms: 2,
            ..event(1)
        };
        assert_eq!(is_of(&Row::Event(later), &kept), Some(false));
        let (_, sent) = print(&event(1));
        assert_eq!(is_of(&aside(1, "too long"), &sent), None);
    }

    proptest! {
        /// Whatever the batches, there is an entry within a factor of four of every distance.
        #[test]
        fn every_distance_is_covered(batches in proptest::collection::vec(1_i64..40, 1..200)) {
            let (mut prints, mut cursor) = (Vec::new(), 0);
            for size in batches {
                let rows: Vec<Row> = (cursor + 1..=cursor + size).map(event).map(Row::Event).collect();
                cursor += size;
                prints = thin(&prints, &rows, cursor);
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
