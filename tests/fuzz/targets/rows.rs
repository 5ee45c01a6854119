//! Outbox rows: values of any type and text make an event, or are set aside with a reason.
//!
//! The same values go into a table without rules, into one in UTF-16 and into the documented one, as
//! an application would write them. SQLite's own `json_valid` and the table's CHECKs are the judges.
//! An input is `event, data, time, tenant, key`, each a letter for its type and then its value.

use std::cell::RefCell;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params};
use webhooksd::tested::{AppendError, Appended, Appender, NewEvent, Row, SCHEMA, Tail};
use webhooksd::tested::{Event, EventId};
use webhooksd::tested::{MAX_TIME_MS, is_name};

use super::{MARKER, folder, obeys, parts};

const LAX: &str = "CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event, data, time, tenant, key)";

/// Small enough to be met, and large enough for the deepest nesting.
const MAX_DATA_BYTES: usize = 3_000;

/// The longest reason: a name of 255 characters with its escapes, and the words around it.
const REASON_CHARS: usize = 500;

struct Outbox {
    connection: Connection,
    tail: Tail,
    appender: Appender,
}

struct Outboxes {
    lax: Outbox,
    wide: Outbox,
    ruled: Outbox,
    _folder: tempfile::TempDir,
}

thread_local! {
    static OUTBOXES: RefCell<Option<Outboxes>> = const { RefCell::new(None) };
}

/// A value as an application binds it.
enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

impl<'a> Value<'a> {
    /// Of a part, or of what stands for one that is not there.
    fn of(part: Option<&'a [u8]>, otherwise: &'a [u8]) -> Self {
        let part = part.unwrap_or(otherwise);
        let (kind, value) = part.split_first().unwrap_or((&b'n', &[]));
        let number = || std::str::from_utf8(value).unwrap_or_default();
        match kind {
            b'n' => Self::Null,
            b'i' => Self::Integer(number().parse().unwrap_or(i64::MIN)),
            b'r' => Self::Real(number().parse().unwrap_or(f64::INFINITY)),
            b'b' => Self::Blob(value),
            _ => Self::Text(value),
        }
    }

    fn bound(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(number),
            Self::Real(number) => ValueRef::Real(number),
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        })
    }

    /// The text, where it is one.
    fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

/// The columns but for the id.
struct Input<'a> {
    event: Value<'a>,
    data: Value<'a>,
    time: Value<'a>,
    tenant: Value<'a>,
    key: Value<'a>,
}

pub(crate) fn run(bytes: &[u8]) {
    let mut parts = parts(bytes);
    let input = Input {
        event: Value::of(parts.next(), b"te"),
        data: Value::of(parts.next(), b"t{}"),
        time: Value::of(parts.next(), b"i1"),
        tenant: Value::of(parts.next(), b"n"),
        key: Value::of(parts.next(), b"n"),
    };
    OUTBOXES.with(|outboxes| {
        let mut outboxes = outboxes.borrow_mut();
        outboxes.get_or_insert_with(Outboxes::new).judge(&input);
    });
}

impl Outboxes {
    fn new() -> Self {
        let folder = folder();
        let outbox = |name: &str, sql: &str| {
            let path = folder.path().join(name);
            let connection = Connection::open(&path).unwrap();
            connection.execute_batch(sql).unwrap();
            let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF";
            connection.execute_batch(pragmas).unwrap();
            Outbox {
                connection,
                tail: Tail::open(&path, MAX_DATA_BYTES).unwrap(),
                appender: Appender::open(&path, MAX_DATA_BYTES).unwrap(),
            }
        };
        Self {
            lax: outbox("lax", LAX),
            wide: outbox("wide", &format!("PRAGMA encoding = 'UTF-16le'; {LAX}")),
            ruled: outbox("ruled", SCHEMA),
            _folder: folder,
        }
    }

    fn judge(&mut self, input: &Input<'_>) {
        let lax = self
            .lax
            .row(input)
            .expect("a table without rules takes all");
        let wide = self
            .wide
            .row(input)
            .expect("a table without rules takes all");
        match &lax {
            Row::Event(event) => input.is(event, &self.lax.connection),
            Row::Rejected(rejected) => {
                let reason = &rejected.reason;
                assert!(
                    !reason.is_empty() && reason.chars().count() < REASON_CHARS,
                    "{reason}"
                );
                let told = format!("{reason} {}", rejected.event);
                assert!(!obeys(&told) && !told.contains('\n'), "{told:?}");
                assert!(rejected.event.chars().count() <= 255, "{told:?}");
                let named =
                    matches!(input.event, Value::Text(b) | Value::Blob(b) if holds_marker(b));
                assert!(named || !told.contains(MARKER), "{told:?}");
            }
        }
        if let (Row::Event(event), true) = (&wide, input.is_utf8()) {
            assert!(
                matches!(&lax, Row::Event(lax) if lax == event),
                "{lax:?} {event:?}"
            );
        }
        if input.is_utf8() && input.data_bytes() <= MAX_DATA_BYTES {
            let (lax, wide) = (matches!(lax, Row::Event(_)), matches!(wide, Row::Event(_)));
            assert_eq!(lax, wide, "UTF-16 is judged otherwise");
        }
        let ruled = self.ruled.row(input);
        self.agrees(input, &lax, ruled.as_ref());
        self.appended(input, ruled.is_some());
    }

    /// What the documented table takes is an event, and what is an event it takes.
    fn agrees(&self, input: &Input<'_>, lax: &Row, ruled: Option<&Row>) {
        let key_is_right = matches!(input.key, Value::Null);
        if let (Row::Event(event), true) = (lax, key_is_right) {
            let odd = event.tenant.as_deref().is_some_and(|t| t.contains('\0'));
            assert!(
                odd || ruled.is_some(),
                "an event that the table refuses: {event:?}"
            );
        }
        let Some(Row::Rejected(rejected)) = ruled else {
            return;
        };
        // What no CHECK can say: UTF-8, the size, and what is behind a NUL in a tenant.
        let allowed = ["UTF-8", "max_data_bytes", "tenant has", "tenant is"];
        let reason = &rejected.reason;
        assert!(allowed.iter().any(|word| reason.contains(word)), "{reason}");
    }

    /// What the socket and `emit` take is what the table takes, and comes back as it went in.
    fn appended(&mut self, input: &Input<'_>, taken: bool) {
        let (Some(event), Some(data)) = (input.event.text(), input.data.text()) else {
            return;
        };
        let label = |value: &Value<'_>| match value {
            Value::Null => Some(None),
            value => value.text().map(|text| Some(text.to_owned())),
        };
        let (Some(tenant), Some(key)) = (label(&input.tenant), label(&input.key)) else {
            return;
        };
        let Value::Integer(time_ms) = input.time else {
            return;
        };
        let new = NewEvent {
            event: event.to_owned(),
            data: data.to_owned(),
            time_ms: Some(time_ms),
            tenant,
            key,
        };
        self.ruled
            .connection
            .execute("DELETE FROM outbox", ())
            .unwrap();
        match self.ruled.appender.append(std::slice::from_ref(&new)) {
            Ok(ids) => {
                let [Appended::New(id)] = ids[..] else {
                    panic!("{ids:?}");
                };
                let Some(Row::Event(row)) = self.ruled.tail.row(id).unwrap() else {
                    panic!("appended and no event: {new:?}");
                };
                assert!(*row.name == *new.event && *row.data == *new.data);
                assert!(row.time_ms == time_ms && row.tenant.as_deref() == new.tenant.as_deref());
                let again = self
                    .ruled
                    .appender
                    .append(std::slice::from_ref(&new))
                    .unwrap();
                assert_eq!(
                    matches!(again[..], [Appended::Again(same)] if same == id),
                    new.key.is_some()
                );
            }
            Err(AppendError::Item { field, reason, .. }) => {
                assert!(!obeys(&reason), "{reason:?}");
                let allowed = reason.contains("max_data_bytes")
                    || field == "key" && reason.contains("NUL")
                    || field == "tenant";
                assert!(!taken || allowed, "{field} {reason}");
            }
            Err(error) => panic!("judged well and refused: {error}: {new:?}"),
        }
    }
}

fn holds_marker(bytes: &[u8]) -> bool {
    bytes.windows(MARKER.len()).any(|w| w == MARKER.as_bytes())
}

impl Outbox {
    /// Writes the row and reads it as the daemon does; `None` where the table refuses it.
    fn row(&mut self, input: &Input<'_>) -> Option<Row> {
        self.connection.execute("DELETE FROM outbox", ()).unwrap();
        let sql = "INSERT INTO outbox (event, data, time, tenant, key) VALUES (?1, ?2, ?3, ?4, ?5)";
        let (event, data) = (input.event.bound(), input.data.bound());
        let (time, tenant, key) = (input.time.bound(), input.tenant.bound(), input.key.bound());
        let mut insert = self.connection.prepare_cached(sql).unwrap();
        insert
            .execute(params![event, data, time, tenant, key])
            .ok()?;
        let id = EventId::new(self.connection.last_insert_rowid());
        let row = self.tail.row(id).unwrap().expect("the row is there");
        assert_eq!(row.id(), id);
        let batch = self.tail.read(id.back(1), 10, 10).unwrap();
        assert_eq!(batch.rows, std::slice::from_ref(&row));
        Some(row)
    }
}

impl Input<'_> {
    /// Whether all that is text is UTF-8 and so survives UTF-16.
    fn is_utf8(&self) -> bool {
        [&self.event, &self.data, &self.tenant].iter().all(
            |value| !matches!(value, Value::Text(bytes) if std::str::from_utf8(bytes).is_err()),
        )
    }

    fn data_bytes(&self) -> usize {
        match self.data {
            Value::Text(bytes) | Value::Blob(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// Holds that an event is what was written, to the byte, and that SQLite calls its data JSON.
    fn is(&self, event: &Event, outbox: &Connection) {
        assert_eq!(self.event.text(), Some(&*event.name));
        assert!(is_name(event.name.as_bytes()));
        assert_eq!(self.data.text(), Some(&*event.data));
        assert!(matches!(self.time, Value::Integer(time) if time == event.time_ms));
        assert!((0..=MAX_TIME_MS).contains(&event.time_ms));
        match &event.tenant {
            None => assert!(matches!(self.tenant, Value::Null)),
            Some(tenant) => {
                assert_eq!(self.tenant.text(), Some(&**tenant));
                assert!((1..=255).contains(&tenant.chars().count()));
            }
        }
        let sql = "SELECT json_valid(data) FROM outbox";
        let valid: bool = outbox.query_row(sql, (), |row| row.get(0)).unwrap();
        assert!(valid, "SQLite does not call it JSON: {:?}", event.data);
    }
}
