//! Takes the log of a machine that has stopped over into a log in PostgreSQL that is empty yet.
//!
//! All of it is one transaction, so a run that ends early has taken nothing, and may begin again. It goes in chunks of a
//! bounded size, each one statement. Ids stay, and so does the log's own: what is pending goes on with the attempts and
//! times that it had, and none of it twice. What each table becomes is said in `moves`. Left out: the lock of the
//! machine's log, which is its caller's, and that the file is moved away afterwards, which is a person's.

mod moves;

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tokio_postgres::types::Type;

use crate::model::Server;
use crate::postgres::{Link, Trouble, Value, What};
use crate::store::error::Doing as _;
use crate::store::read::Reader;
use crate::store::{Error, Store, schema};
use moves::{Kind, MOVES, Move, OF_EARLIER};

/// Rows of one statement, and bytes of theirs behind which it ends.
const CHUNK: (usize, usize) = (1_000, 4 << 20);

/// Nobody else begins with this log meanwhile: who wants to know its id waits.
const BEGIN: &str = "BEGIN; LOCK TABLE webhooksd.meta, webhooksd.cursor IN ACCESS EXCLUSIVE MODE";

/// What a log has that was ever written.
const USED: &str =
    "SELECT 1 WHERE EXISTS (SELECT FROM webhooksd.cursor) OR EXISTS (SELECT FROM webhooksd.webhook)
  OR EXISTS (SELECT FROM webhooksd.payload) OR EXISTS (SELECT FROM webhooksd.pending)
  OR EXISTS (SELECT FROM webhooksd.ended) OR EXISTS (SELECT FROM webhooksd.attempt)
  OR EXISTS (SELECT FROM webhooksd.rejected) OR EXISTS (SELECT FROM webhooksd.mark)";

/// Orders that were carried out are no orders.
const QUIET: &str = "ALTER TABLE webhooksd.redelivery DISABLE TRIGGER redelivery";
const AGAIN: &str = "ALTER TABLE webhooksd.redelivery ENABLE TRIGGER redelivery";

/// Counters go on above all that was given.
const NUMBERED: [&str; 6] = [
    "attempt",
    "owed",
    "payload",
    "redelivery",
    "rejected",
    "replay",
];

/// What was taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TakenOver {
    /// Deliveries that are pending.
    pub(crate) pending: u64,
    /// Attempts.
    pub(crate) attempts: u64,
}

/// Takes it over. `told` hears of each chunk what it was of and how many rows there are of that by now. The machine's
/// log is brought to today's shape first, and nothing else of it is changed.
///
/// # Errors
/// One of the two can't be read or written, or the server's log is not empty: then nothing was taken over.
pub(crate) fn take_over(
    path: &Path,
    server: &Arc<Server>,
    now_ms: i64,
    told: &mut dyn FnMut(&'static str, u64),
) -> Result<TakenOver, Error> {
    // It is not made where there is none.
    drop(Reader::open(path)?);
    let mut store = Store::open(path, now_ms)?;
    while store.come_over(CHUNK.0)?.more {}
    let reader = Reader::open(path)?;
    let link = Link::open(server).map_err(Error::Server)?;
    super::place::prepare(&link).map_err(Error::Server)?;
    let to = To { link: &link };
    to.link
        .batch("take the log over", BEGIN)
        .map_err(Error::Server)?;
    let taken = to.all((&store, &reader), told)?;
    to.link
        .batch("take the log over", "COMMIT")
        .map_err(Error::Server)?;
    Ok(taken)
}

/// The server's side.
struct To<'l> {
    link: &'l Link,
}

impl To<'_> {
    fn all(
        &self,
        (store, reader): (&Store, &Reader),
        told: &mut dyn FnMut(&'static str, u64),
    ) -> Result<TakenOver, Error> {
        const STEP: &str = "look whether the log is empty";
        let used = self.link.rows(STEP, USED, &[]).map_err(Error::Server)?;
        if !used.is_empty() {
            let trouble = Trouble::new(&self.link.server, What::NotEmpty);
            return Err(Error::Server(trouble));
        }
        self.execute(
            "take the log's own id over",
            "UPDATE webhooksd.meta SET log_id = $1",
            &[(&store.log_id().0.as_slice(), Type::BYTEA)],
        )?;
        let is_shortened = reader.is_shortened()?;
        self.execute(
            "take note of what is gone",
            "UPDATE webhooksd.meta SET shortened = $1",
            &[(&is_shortened, Type::BOOL)],
        )?;
        self.execute("take redeliveries over", QUIET, &[])?;
        let mut taken = TakenOver::default();
        let from = &store.connection;
        let earlier = schema::has_earlier(from).doing("look for rows of the shape before")?;
        let earlier: &[Move] = if earlier { &OF_EARLIER } else { &[] };
        for one in MOVES.iter().chain(earlier) {
            let rows = self.move_all(one, from, told)?;
            match one.what {
                "pending" => taken.pending += rows,
                "attempts" => taken.attempts += rows,
                _ => {}
            }
        }
        self.execute("take redeliveries over", AGAIN, &[])?;
        for table in NUMBERED {
            let sql = format!(
                "SELECT setval(s.name, greatest(max(t.id), pg_sequence_last_value(s.name)))
                   FROM webhooksd.{table} t, (SELECT 'webhooksd.{table}_id_seq'::regclass AS name) s
                  GROUP BY s.name HAVING max(t.id) > 0"
            );
            self.execute("set where ids go on", &sql, &[])?;
        }
        let sql = "SELECT setval('webhooksd.delivery_id', greatest($1, pg_sequence_last_value('webhooksd.delivery_id')))";
        let newest = reader.newest_delivery()?.get().max(1);
        self.execute("set where ids go on", sql, &[(&newest, Type::INT8)])?;
        Ok(taken)
    }

    fn execute(&self, step: &'static str, sql: &str, values: &[Value<'_>]) -> Result<(), Error> {
        let done = self.link.execute(step, sql, values);
        done.map(drop).map_err(Error::Server)
    }

    /// All rows of one kind, chunk by chunk. How many.
    fn move_all(
        &self,
        one: &Move,
        from: &Connection,
        told: &mut dyn FnMut(&'static str, u64),
    ) -> Result<u64, Error> {
        let sql = one.insert();
        let mut statement = from.prepare(one.from).doing(one.step)?;
        let mut rows = statement.query([]).doing(one.step)?;
        let (mut all, mut chunk) = (0, Chunk::new(one.kinds));
        loop {
            let row = rows.next().doing(one.step)?;
            let ended = row.is_none();
            if let Some(row) = row {
                chunk.push(|at| row.get_ref(at)).doing(one.step)?;
            }
            if chunk.rows > 0 && (ended || chunk.is_full()) {
                let values: Vec<Value<'_>> = chunk.columns.iter().map(Column::value).collect();
                self.execute(one.step, &sql, &values)?;
                all += u64::try_from(chunk.rows).unwrap_or(0);
                told(one.what, all);
                chunk = Chunk::new(one.kinds);
            }
            if ended {
                return Ok(all);
            }
        }
    }
}

/// Rows that go in one statement, column by column.
struct Chunk {
    rows: usize,
    bytes: usize,
    columns: Vec<Column>,
}

impl Chunk {
    fn new(kinds: &[Kind]) -> Self {
        let columns = kinds.iter().map(|kind| Column::new(*kind));
        Self {
            rows: 0,
            bytes: 0,
            columns: columns.collect(),
        }
    }

    fn is_full(&self) -> bool {
        self.rows >= CHUNK.0 || self.bytes >= CHUNK.1
    }

    fn push<'r>(
        &mut self,
        cell: impl Fn(usize) -> rusqlite::Result<ValueRef<'r>>,
    ) -> rusqlite::Result<()> {
        for (at, column) in self.columns.iter_mut().enumerate() {
            self.bytes += column.push(cell(at)?);
        }
        self.rows += 1;
        Ok(())
    }
}

/// What is not of its column's kind was written by somebody else's hand, and is NULL.
enum Column {
    Ints(Vec<Option<i64>>),
    Words(Vec<Option<String>>),
    Truths(Vec<Option<bool>>),
    Blobs(Vec<Option<Vec<u8>>>),
}

impl Column {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Int => Self::Ints(Vec::new()),
            Kind::Word => Self::Words(Vec::new()),
            Kind::Truth => Self::Truths(Vec::new()),
            Kind::Blob => Self::Blobs(Vec::new()),
        }
    }

    /// Takes a cell in; its bytes.
    fn push(&mut self, cell: ValueRef<'_>) -> usize {
        let bytes = match cell {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
            _ => None,
        };
        let number = match cell {
            ValueRef::Integer(number) => Some(number),
            _ => None,
        };
        match self {
            Self::Ints(all) => all.push(number),
            Self::Truths(all) => all.push(number.map(|number| number != 0)),
            Self::Words(all) => all.push(bytes.map(text)),
            Self::Blobs(all) => all.push(bytes.map(<[u8]>::to_vec)),
        }
        bytes.map_or(8, <[u8]>::len)
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Ints(all) => (all, Type::INT8_ARRAY),
            Self::Words(all) => (all, Type::TEXT_ARRAY),
            Self::Truths(all) => (all, Type::BOOL_ARRAY),
            Self::Blobs(all) => (all, Type::BYTEA_ARRAY),
        }
    }
}

/// A text without the character that a server takes in none.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}
