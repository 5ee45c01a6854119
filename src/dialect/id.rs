//! The identity of an event: the digest of its row, and its id as each dialect writes it.
//!
//! Both are pure functions of the row and frozen: receivers drop duplicates by the id, so a change
//! here would deliver old events anew after an upgrade. The string ids are lower-case ULIDs, but no
//! vendor promises that (Bold Factory's own sample has a `u`, which is no ULID): nothing may demand
//! that a foreign id be one. Left out: the fingerprints' place in the log (`store` keeps them).

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::model::event::MAX_ID;
use crate::model::{Dialect, Event, EventId};

/// Crockford's base32, lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 26 characters of 5 bits hold 128 bits, so the first is `0` to `7`.
const ULID_CHARS: usize = 26;

const ID_BITS: u32 = 53;
const DIGEST_BITS: u32 = 27;

/// SHA-256 over the row: the same row has the same digest, rows that differ anywhere another one.
///
/// The fields are, in this order, `id`, `time`, `event`, `tenant`, `data`. Each is its length in
/// bytes, as 8 bytes big-endian, and then its bytes; the two numbers are 8 bytes big-endian in two's
/// complement; a tenant that is NULL is the length 2^64 - 1 and no bytes. `key` is left out: it says
/// how the row came in, not what it is.
#[must_use]
pub(crate) fn digest(event: &Event) -> [u8; 32] {
    let mut hash = Sha256::new();
    field(&mut hash, &event.id.get().to_be_bytes());
    field(&mut hash, &event.time_ms.to_be_bytes());
    field(&mut hash, event.name.as_bytes());
    match &event.tenant {
        Some(tenant) => field(&mut hash, tenant.as_bytes()),
        None => hash.update(u64::MAX.to_be_bytes()),
    }
    field(&mut hash, event.data.as_bytes());
    hash.finalize().into()
}

fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

/// The event's id in a dialect: `1024`, `evt_01h...`, `evt-01h...`; the same in every retry,
/// redelivery and replay.
#[must_use]
pub fn event_id_text(dialect: Dialect, event: &Event) -> String {
    let mut out = String::with_capacity(4 + ULID_CHARS);
    push_event_id(&mut out, dialect, event);
    out
}

pub(super) fn push_event_id(out: &mut String, dialect: Dialect, event: &Event) {
    match dialect {
        Dialect::BoldCms => return out.push_str(itoa::Buffer::new().format(event.id.get())),
        Dialect::BoldFactory | Dialect::StandardWebhooks => out.push_str("evt_"),
        Dialect::OpenboxesLift => out.push_str("evt-"),
    }
    push_ulid(out, event.time_ms, event.id, &digest(event));
}

/// The id of the message that a body is, from the body: what the string ids' dialects wrote there, and of
/// `bold-cms` the same, but that the tenant is no part of it, for it is not in the body. Of another body, which
/// only a hand can have left without its id, one of its bytes.
pub(super) fn id_by_body(dialect: Dialect, body: &Bytes, event_id: EventId) -> String {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let of_string = |prefix: &str| {
        let rest = text.strip_prefix(r#"{"id":""#)?.strip_prefix(prefix)?;
        let (ulid, _) = rest.split_once('"')?;
        Some(format!("evt_{ulid}"))
    };
    let found = match dialect {
        Dialect::BoldCms => {
            cms_event(text).map(|event| event_id_text(Dialect::BoldFactory, &event))
        }
        Dialect::BoldFactory => of_string("evt_"),
        Dialect::OpenboxesLift => of_string("evt-"),
        Dialect::StandardWebhooks => None,
    };
    found.unwrap_or_else(|| {
        let mut id = String::from("evt_");
        push_ulid(&mut id, 0, event_id, &Sha256::digest(body).into());
        id
    })
}

/// The event of a body of `bold-cms`.
fn cms_event(body: &str) -> Option<Event> {
    let rest = body.strip_prefix(r#"{"v1":{"event":{"id":"#)?;
    let (id, rest) = rest.split_once(r#","name":""#)?;
    let (name, rest) = rest.split_once(r#"","time":"#)?;
    let (time_ms, rest) = rest.split_once(r#"},"data":"#)?;
    Some(Event {
        id: EventId::new(id.parse().ok()?),
        name: name.into(),
        data: rest.strip_suffix("}}")?.into(),
        time_ms: time_ms.parse().ok()?,
        tenant: None,
    })
}

/// 48 bits of time, 53 bits of the row's id, the first 27 bits of the digest, highest bits first:
/// so ids sort by time, and those of one millisecond in the order of their rows.
fn push_ulid(out: &mut String, time_ms: i64, row_id: EventId, digest: &[u8; 32]) {
    let low = |value: i64, bits: u32| u128::from(value.unsigned_abs()) & ((1 << bits) - 1);
    let [a, b, c, d, ..] = *digest;
    let tail = u128::from(u32::from_be_bytes([a, b, c, d]) >> (32 - DIGEST_BITS));
    let value = low(time_ms, 48) << (ID_BITS + DIGEST_BITS)
        | low(row_id.get(), ID_BITS) << DIGEST_BITS
        | tail;
    for place in (0..ULID_CHARS).rev() {
        out.push(char::from(ALPHABET[(value >> (5 * place)) as usize & 31]));
    }
}

/// The outbox id in an event's id as a person may type it: a row's number, or an `evt_` or `evt-`
/// id that [`event_id_text`] made. Upper case is taken too. Whether a row with that id is the same
/// event is for the caller to see: write its id and compare.
#[must_use]
pub fn row_id_of(text: &str) -> Option<EventId> {
    let Some(ulid) = ["evt_", "evt-"].iter().find_map(|p| text.strip_prefix(p)) else {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        return digits.then(|| text.parse().ok())?.and_then(row_id);
    };
    if ulid.len() != ULID_CHARS || ulid.as_bytes()[0] > b'7' {
        return None;
    }
    let mut value = 0_u128;
    for byte in ulid.bytes() {
        let lower = byte.to_ascii_lowercase();
        let digit = ALPHABET.iter().position(|c| *c == lower)?;
        value = value << 5 | digit as u128;
    }
    let number = value >> DIGEST_BITS & ((1 << ID_BITS) - 1);
    i64::try_from(number).ok().and_then(row_id)
}

fn row_id(number: i64) -> Option<EventId> {
    let is_id = (1..=MAX_ID).contains(&number);
    is_id.then(|| EventId::new(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dialect::tests::event;
    use crate::model::event::MAX_TIME_MS;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    // Made by Python's hashlib and struct from the layout in the docstring.
    #[test]
    fn frozen() {
        let mut row = event(1024, "story-submit", 1_619_007_030_964, r#"{"a":1}"#);
        assert_eq!(
            hex(&digest(&row)),
            "6326fb3efba93abdd7c104346dd211c2e8c7797b6e55df86edf7532bdaa6f92d"
        );
        let id = |row: &Event| event_id_text(Dialect::BoldFactory, row);
        assert_eq!(id(&row), "evt_01f3t5dhnm00000000401hjdys");
        row.tenant = Some("acme".into());
        assert_eq!(
            hex(&digest(&row)),
            "edad42f541b8bbeb4fb5707a5c52e9884043876bd013b9b3deccc5eb98f1492f"
        );
        assert_eq!(id(&row), "evt_01f3t5dhnm00000000403pttgq");
        let lift = event_id_text(Dialect::OpenboxesLift, &row);
        assert_eq!(lift, "evt-01f3t5dhnm00000000403pttgq");
        assert_eq!(event_id_text(Dialect::BoldCms, &row), "1024");
    }

    #[test]
    fn every_field_counts_and_none_runs_into_the_next() {
        let row = event(1, "ab", 2, "1");
        let changed: [fn(&mut Event); 7] = [
            |e| e.id = EventId::new(2),
            |e| e.time_ms = 3,
            |e| e.name = "abc".into(),
            |e| e.tenant = Some("".into()),
            |e| e.data = "1 ".into(),
            |e| (e.name, e.data) = ("a".into(), "b1".into()),
            |e| (e.name, e.tenant) = ("a".into(), Some("b".into())),
        ];
        let mut seen = vec![digest(&row)];
        for change in changed {
            let mut other = row.clone();
            change(&mut other);
            seen.push(digest(&other));
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 8);
    }

    #[test]
    fn extremes() {
        let ulid = |time_ms, row_id, digest: [u8; 32]| {
            let mut out = String::new();
            push_ulid(&mut out, time_ms, row_id, &digest);
            out
        };
        assert_eq!(
            ulid(0, EventId::NONE, [0; 32]),
            "00000000000000000000000000"
        );
        let all = (1 << 48) - 1;
        assert_eq!(
            ulid(all, EventId::new(MAX_ID), [255; 32]),
            "7zzzzzzzzzzzzzzzzzzzzzzzzz"
        );
        assert_eq!(
            ulid(0, EventId::new(MAX_ID), [0; 32]),
            "0000000000zzzzzzzzzzw00000"
        );
        // Only the first 27 bits of the digest are in it.
        let mut rest = [255; 32];
        rest[..4].copy_from_slice(&[0, 0, 0, 31]);
        assert_eq!(
            ulid(0, EventId::NONE, rest),
            ulid(0, EventId::NONE, [0; 32])
        );
        rest[3] = 32;
        assert_eq!(ulid(0, EventId::NONE, rest), "00000000000000000000000001");
    }

    #[test]
    fn typed_ids() {
        let row = Some(EventId::new(1024));
        assert_eq!(row_id_of("1024"), row);
        let ulid = "01f3t5dhnm00000000403pttgq";
        for text in [
            format!("evt_{ulid}"),
            format!("evt-{}", ulid.to_uppercase()),
        ] {
            assert_eq!(row_id_of(&text), row, "{text}");
        }
        for bad in [
            "",
            "0",
            "-1",
            "+1",
            "9007199254740992",
            "99999999999999999999",
            ulid,
            "evt_",
            "evt_01hxyz3kq8f2v9m4n7p6r5t0uw",
            "evt-abc123def456",
            "evt_00000000000000000000000000",
            "evt_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "evt_\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}",
        ] {
            assert_eq!(row_id_of(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn string_ids_are_pure_sort_by_time_and_row_and_lead_back(
            a in (0..=MAX_TIME_MS, 1..=MAX_ID), b in (0..=MAX_TIME_MS, 1..=MAX_ID), data in "[a-z]{0,9}"
        ) {
            let id = |(time_ms, row_id): (i64, i64)| {
                event_id_text(Dialect::BoldFactory, &event(row_id, "e", time_ms, &data))
            };
            prop_assert_eq!(id(a), id(a));
            prop_assert_eq!(a.cmp(&b), id(a).cmp(&id(b)));
            prop_assert_eq!(row_id_of(&id(a)), Some(EventId::new(a.1)));
            prop_assert_eq!(id(a).len(), 30);
            prop_assert!(id(a).bytes().skip(4).all(|c| ALPHABET.contains(&c)));
        }
    }
}
