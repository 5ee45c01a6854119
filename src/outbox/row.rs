//! From the columns of a row to an event, or to the reason why it can't be one.
//!
//! The columns are taken as SQLite hands them over, of whatever type and length: an application's
//! table may lack the CHECKs, and even a table with them can hold what an old SQLite let pass. The
//! same rules judge what is appended. Nothing here panics, and no reason repeats an event's data.

use std::sync::Arc;

use rusqlite::types::ValueRef;

use super::json;
use crate::model::event::{MAX_ID, MAX_TIME_MS, is_name};
use crate::model::own;
use crate::model::{Event, EventId, Rejected};

/// The longest event name or tenant that is loaded, in octets of the database's encoding; a longer
/// one breaks the rules in any case, and 255 characters of it are enough to show.
pub(super) const LOADED_NAME_BYTES: i64 = 4_096;

/// The longest event name, tenant and key, and what is shown of a bad one, in characters.
pub(super) const NAME_CHARS: usize = 255;

/// One row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// An event.
    Event(Event),
    /// Something that can't be sent, and why.
    Rejected(Rejected),
}

impl Row {
    /// The row's id.
    #[must_use]
    pub fn id(&self) -> EventId {
        match self {
            Self::Event(event) => event.id,
            Self::Rejected(rejected) => rejected.event_id,
        }
    }
}

/// A column that is only loaded where it isn't too long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sized<'a> {
    /// The value, NULL where it is too long.
    pub(super) value: ValueRef<'a>,
    /// Its octets in the database's encoding where it is too long.
    pub(super) octets: Option<i64>,
}

/// The columns of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns<'a> {
    pub(super) id: EventId,
    pub(super) event: Sized<'a>,
    pub(super) data: Sized<'a>,
    /// NULL where it is no integer.
    pub(super) time: ValueRef<'a>,
    pub(super) tenant: Sized<'a>,
}

/// How rows are judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge {
    /// The longest data that is sent, in bytes of UTF-8.
    pub(super) max_data_bytes: usize,
    /// The octets are those of UTF-16.
    pub(super) utf16: bool,
}

impl Judge {
    /// The longest data that is worth loading, in octets of the database's encoding.
    pub(super) fn loaded_data_bytes(self) -> i64 {
        let max = i64::try_from(self.max_data_bytes).unwrap_or(i64::MAX);
        // A character of one octet in UTF-8 has two in UTF-16.
        if self.utf16 {
            max.saturating_mul(2)
        } else {
            max
        }
    }

    /// What a row is. `last` is the name of the event before, which is shared and not judged again if it
    /// is the same.
    pub(super) fn row(self, columns: Columns<'_>, last: &mut Option<Arc<str>>) -> Row {
        match self.event(columns, last) {
            Ok(event) => Row::Event(event),
            Err(reason) => Row::Rejected(Rejected {
                event_id: columns.id,
                event: shown(columns.event.value),
                reason,
                time_ms: columns.time.as_i64().unwrap_or(0),
                tenant: tenant(columns.tenant).ok().flatten(),
            }),
        }
    }

    fn event(self, columns: Columns<'_>, last: &mut Option<Arc<str>>) -> Result<Event, String> {
        if !(1..=MAX_ID).contains(&columns.id.get()) {
            return Err(format!("id {} is not in 1 to {MAX_ID}", columns.id));
        }
        let name = text("event", columns.event)?;
        let same = last.as_ref().filter(|last| ***last == *name).cloned();
        if same.is_none()
            && let Some(fault) = name_fault(name).or_else(|| reserved_fault(name))
        {
            return Err(format!("event {fault}"));
        }
        let data = self.data(columns.data)?;
        let time_ms = match columns.time {
            ValueRef::Integer(time_ms) => time_ms,
            _ => return Err("time is not an integer".to_owned()),
        };
        if let Some(fault) = time_fault(time_ms) {
            return Err(format!("time {fault}"));
        }
        let tenant = tenant(columns.tenant)?;
        let name = same.unwrap_or_else(|| Arc::clone(last.insert(Arc::from(name))));
        Ok(Event {
            id: columns.id,
            name,
            data: Box::from(data),
            time_ms,
            tenant,
        })
    }

    fn data(self, column: Sized<'_>) -> Result<&str, String> {
        if let (ValueRef::Null, Some(octets)) = (column.value, column.octets) {
            return Err(if self.utf16 {
                format!("data is at least {}", self.too_large(octets / 2))
            } else {
                format!("data is {}", self.too_large(octets))
            });
        }
        let data = text("data", column)?;
        match self.data_fault(data) {
            Some(fault) => Err(format!("data {fault}")),
            None => Ok(data),
        }
    }

    /// What is wrong with an event's data.
    pub(super) fn data_fault(self, data: &str) -> Option<String> {
        if data.len() > self.max_data_bytes {
            return Some(format!("is {}", self.too_large(data.len())));
        }
        json::fault(data)
    }

    fn too_large(self, bytes: impl std::fmt::Display) -> String {
        let max = self.max_data_bytes;
        format!("{bytes} bytes, more than max_data_bytes = {max}")
    }
}

/// What is wrong with an event's name.
pub(super) fn name_fault(name: &str) -> Option<String> {
    (!is_name(name.as_bytes())).then(|| {
        format!(
            "\"{}\" is not 1 to 255 of A-Z a-z 0-9 - _ . : /",
            escaped(name)
        )
    })
}

/// Why an event of that name, which is one, can't be the application's.
pub(super) fn reserved_fault(name: &str) -> Option<String> {
    own::is_reserved(name).then(|| {
        let prefix = own::PREFIX;
        format!("\"{name}\" begins with \"{prefix}\", as only webhooksd's own events do")
    })
}

/// What is wrong with an event's time.
pub(super) fn time_fault(time_ms: i64) -> Option<String> {
    (!(0..=MAX_TIME_MS).contains(&time_ms))
        .then(|| format!("{time_ms} is not in 0 to {MAX_TIME_MS}, UNIX milliseconds"))
}

/// What is wrong with the length of a tenant or a key.
pub(super) fn length_fault(text: &str) -> Option<String> {
    let chars = text.chars().count();
    (!(1..=NAME_CHARS).contains(&chars)).then(|| format!("has {chars} characters, not 1 to 255"))
}

fn tenant(column: Sized<'_>) -> Result<Option<Box<str>>, String> {
    if let (ValueRef::Null, None) = (column.value, column.octets) {
        return Ok(None);
    }
    let tenant = text("tenant", column)?;
    match length_fault(tenant) {
        Some(fault) => Err(format!("tenant {fault}")),
        None => Ok(Some(tenant.into())),
    }
}

fn text<'a>(field: &str, column: Sized<'a>) -> Result<&'a str, String> {
    match (column.value, column.octets) {
        (ValueRef::Text(bytes), _) => std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            format!("{field} is not UTF-8: the first bad byte is at offset {at}")
        }),
        (ValueRef::Blob(_), _) => Err(format!("{field} is a BLOB, not TEXT")),
        (ValueRef::Integer(_) | ValueRef::Real(_), _) => {
            Err(format!("{field} is a number, not TEXT"))
        }
        (ValueRef::Null, None) => Err(format!("{field} is NULL")),
        (ValueRef::Null, Some(octets)) => Err(format!("{field} is {octets} bytes long")),
    }
}

/// An event's name for people, as far as it can be shown.
fn shown(name: ValueRef<'_>) -> String {
    match name {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => escaped(&String::from_utf8_lossy(bytes)),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Null => String::new(),
    }
}

/// `text` without anything that a terminal obeys, cut to [`NAME_CHARS`] characters.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let plain = matches!(c, '"' | '\'' | '\\');
            let (kept, made) = if plain {
                (Some(c), None)
            } else {
                (None, Some(c.escape_debug()))
            };
            kept.into_iter().chain(made.into_iter().flatten())
        })
        .take(NAME_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JUDGE: Judge = Judge {
        max_data_bytes: 20,
        utf16: false,
    };

    fn column(value: ValueRef<'_>) -> Sized<'_> {
        Sized {
            value,
            octets: None,
        }
    }

    fn good() -> Columns<'static> {
        Columns {
            id: EventId::new(1),
            event: column(ValueRef::Text(b"story-approve")),
            data: column(ValueRef::Text(b" {\"a\": 1} ")),
            time: ValueRef::Integer(1_700_000_000_000),
            tenant: column(ValueRef::Null),
        }
    }

    fn reason(columns: Columns<'_>) -> String {
        match JUDGE.row(columns, &mut None) {
            Row::Rejected(rejected) => rejected.reason,
            Row::Event(event) => panic!("{event:?}"),
        }
    }

    #[test]
    fn a_good_row_is_an_event_to_the_byte_and_shares_its_name() {
        let mut last = None;
        let Row::Event(first) = JUDGE.row(good(), &mut last) else {
            panic!("rejected")
        };
        assert_eq!(&*first.data, " {\"a\": 1} ");
        let Row::Event(second) = JUDGE.row(good(), &mut last) else {
            panic!("rejected")
        };
        assert!(Arc::ptr_eq(&first.name, &second.name));
    }

    #[test]
    fn each_column_has_its_reasons() {
        let (max, long) = (MAX_TIME_MS + 1, "x".repeat(256));
        let data = |value| Columns {
            data: column(value),
            ..good()
        };
        let event = |value| Columns {
            event: column(value),
            ..good()
        };
        let time = |time| Columns { time, ..good() };
        let tenant = |value| Columns {
            tenant: column(value),
            ..good()
        };
        for (columns, expected) in [
            (
                Columns {
                    id: EventId::new(MAX_ID + 1),
                    ..good()
                },
                "id 9007199254740992 is not in 1 to",
            ),
            (data(ValueRef::Null), "data is NULL"),
            (data(ValueRef::Blob(b"{}")), "data is a BLOB, not TEXT"),
            (data(ValueRef::Real(1.0)), "data is a number, not TEXT"),
            (
                data(ValueRef::Text(b"\"\xff\"")),
                "data is not UTF-8: the first bad byte is at offset 1",
            ),
            (
                data(ValueRef::Text(b"{\n,")),
                "data is not JSON: key must be a string at line 2 column 1",
            ),
            (
                data(ValueRef::Text(b"\"123456789012345678901\"")),
                "data is 23 bytes, more than max_data_bytes = 20",
            ),
            (event(ValueRef::Null), "event is NULL"),
            (event(ValueRef::Blob(b"a")), "event is a BLOB"),
            (event(ValueRef::Integer(7)), "event is a number"),
            (
                event(ValueRef::Text(b"a\x1b[2J\0")),
                "event \"a\\u{1b}[2J\\0\" is not 1 to 255 of",
            ),
            (event(ValueRef::Text(b"")), "event \"\" is not"),
            (time(ValueRef::Null), "time is not an integer"),
            (time(ValueRef::Integer(-1)), "time -1 is not in 0 to"),
            (time(ValueRef::Integer(max)), "time 253402300800000 is not"),
            (tenant(ValueRef::Text(b"")), "tenant has 0 characters"),
            (
                tenant(ValueRef::Text(long.as_bytes())),
                "tenant has 256 characters",
            ),
            (tenant(ValueRef::Blob(b"a")), "tenant is a BLOB"),
        ] {
            let reason = reason(columns);
            assert!(reason.starts_with(expected), "{reason}");
        }
    }

    #[test]
    fn what_was_too_long_to_load_has_its_size() {
        let unloaded = Sized {
            value: ValueRef::Null,
            octets: Some(5_000),
        };
        let event = Columns {
            event: unloaded,
            ..good()
        };
        assert_eq!(reason(event), "event is 5000 bytes long");
        let data = Columns {
            data: unloaded,
            ..good()
        };
        assert_eq!(
            reason(data),
            "data is 5000 bytes, more than max_data_bytes = 20"
        );
        let Row::Rejected(wide) = Judge {
            utf16: true,
            ..JUDGE
        }
        .row(data, &mut None) else {
            panic!("not rejected")
        };
        assert_eq!(
            wide.reason,
            "data is at least 2500 bytes, more than max_data_bytes = 20"
        );
    }

    #[test]
    fn a_bad_name_is_shown_cut_and_without_control_characters() {
        let name = "\u{202e}\x1b".repeat(300);
        let columns = Columns {
            event: column(ValueRef::Text(name.as_bytes())),
            ..good()
        };
        let Row::Rejected(rejected) = JUDGE.row(columns, &mut None) else {
            panic!("not rejected")
        };
        assert_eq!(rejected.event.chars().count(), 255);
        assert!(rejected.event.starts_with("\\u{202e}\\u{1b}"));
        assert!(rejected.event.is_ascii());
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(
            id: i64, name: Vec<u8>, data: Vec<u8>, time: i64, tenant: Vec<u8>, blob: bool,
        ) {
            let value = |bytes| if blob { ValueRef::Blob(bytes) } else { ValueRef::Text(bytes) };
            let columns = Columns {
                id: EventId::new(id),
                event: column(value(&name)),
                data: column(value(&data)),
                time: ValueRef::Integer(time),
                tenant: column(value(&tenant)),
            };
            let row = JUDGE.row(columns, &mut None);
            prop_assert_eq!(row.id().get(), id);
            if let Row::Event(event) = row {
                prop_assert!(is_name(event.name.as_bytes()) && !blob);
                prop_assert_eq!(event.data.as_bytes(), data.as_slice());
            }
        }
    }
}
