//! The guards of the documented table that somebody's table does not have (any more).
//!
//! Migration tools rebuild a table and forget its trigger, its CHECKs or its UNIQUE. SQLite itself
//! is asked, not the text of the SQL: the table is made again, empty, in memory, and given rows that
//! a guard has to refuse, once as it is and once with each of its triggers. So a guard of the
//! application's own, whatever it is called, counts as one. Where not even a good row goes in (a rule
//! of the application's own, a function that only it has) nothing can be tried and nothing is claimed.
//! The SQL that puts a guard back is in `mend`. AUTOINCREMENT is not among these: `table` refuses.

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, params_from_iter};

use super::definition::Definition;
use super::mend;

/// Longer schemas, and tables with more triggers, are not tried.
const MAX_SCHEMA_BYTES: usize = 1 << 20;
const MAX_TRIGGERS: usize = 64;

/// A row of the application's own with more data is not taken for a sample.
const MAX_SAMPLE_BYTES: i64 = 64 << 10;

/// A guard that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// What it is, to be read after "the table lacks".
    pub(super) guard: String,
    /// What puts it back, in one line.
    pub(super) sql: String,
}

/// Whether its SQL is small enough to be run in a copy.
fn is_tried(definition: &Definition) -> bool {
    let triggers = definition.triggers.iter().map(|(_, sql)| sql.len());
    let indexes = definition.indexes.iter().map(String::len);
    let bytes = definition.table.len() + triggers.sum::<usize>() + indexes.sum::<usize>();
    !definition.table.is_empty()
        && bytes <= MAX_SCHEMA_BYTES
        && definition.triggers.len() <= MAX_TRIGGERS
}
/// A CHECK of the documented table: its name, its column, and values that it refuses.
struct Check {
    name: &'static str,
    column: &'static str,
    refuses: fn() -> [Value; 2],
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

const CHECKS: [Check; 6] = [
    Check {
        name: "id is given by the database",
        column: "id",
        refuses: || [Value::Integer(0), Value::Integer(1 << 53)],
    },
    Check {
        name: "event is 1 to 255 of A-Z a-z 0-9 - _ . : /",
        column: "event",
        refuses: || [text(""), text("a b")],
    },
    Check {
        name: "data is JSON text",
        column: "data",
        refuses: || [text("{"), Value::Blob(b"{}".to_vec())],
    },
    Check {
        name: "time is UNIX milliseconds",
        column: "time",
        refuses: || [Value::Integer(-1), text("now")],
    },
    Check {
        name: "tenant is text",
        column: "tenant",
        refuses: || [text(""), Value::Blob(b"a".to_vec())],
    },
    Check {
        name: "key is text",
        column: "key",
        refuses: || [text(""), Value::Blob(b"a".to_vec())],
    },
];

/// The guards that the table does not have. Its `id` is AUTOINCREMENT, `table` has seen to that.
pub(super) fn missing(
    connection: &Connection,
    definition: &Definition,
) -> rusqlite::Result<Vec<Missing>> {
    if !is_tried(definition) {
        return Ok(Vec::new());
    }
    let Some(trials) = Trials::of(connection, definition)? else {
        return Ok(Vec::new());
    };
    let mut missing = Vec::new();
    for check in &CHECKS {
        let is_there = check.column == "id" || trials.bare.has(check.column);
        let mut values = (check.refuses)().into_iter();
        let refused = |value| trials.any(&|trial| trial.refuses(check.column, &value));
        if is_there && !values.all(refused) {
            missing.push(Missing {
                guard: format!("CHECK {:?}", check.name),
                sql: mend::check(definition, check.name, check.column),
            });
        }
    }
    if trials.bare.has("key") && !trials.refuse_a_second_key() {
        missing.push(Missing {
            guard: "UNIQUE on \"key\": an event could be written twice".to_owned(),
            sql: mend::UNIQUE_KEY.to_owned(),
        });
    }
    if !trials.any(&Trial::refuses_an_id_below) {
        missing.push(Missing {
            guard: "trigger \"outbox_id\": a row with an id below the newest would never be sent"
                .to_owned(),
            sql: mend::id_trigger(definition),
        });
    }
    if trials.bare.has("time") && !trials.any(&Trial::gives_the_time) {
        // SQLite gives a column that is there no default. The table made anew has the rest, too.
        let default = "DEFAULT of \"time\", the UNIX milliseconds: an INSERT that names no time fails, \
                       or gives a wrong one";
        let rest = missing.iter().map(|missing| missing.guard.as_str());
        let guards: Vec<&str> = [default].into_iter().chain(rest).collect();
        missing = vec![Missing {
            guard: guards.join("; "),
            sql: mend::rebuilt(connection, definition)?,
        }];
    }
    Ok(missing)
}

/// Whether a row with an id below the newest is refused; not where nothing can be tried.
pub(super) fn refuse_ids_below(
    connection: &Connection,
    definition: &Definition,
) -> rusqlite::Result<bool> {
    if !is_tried(definition) {
        return Ok(false);
    }
    let trials = Trials::of(connection, definition)?;
    // What can't be tried at all is no refusal: then the rows are looked at.
    let refuses = |trial: &Trial| trial.refuses_an_id_below();
    Ok(trials.is_some_and(|trials| trials.any(&refuses)))
}

/// The columns of a row that the table takes, with their values.
type Sample = Vec<(String, Value)>;

/// A value in place of the sample's.
type Other = (&'static str, Value);

/// A plain row, and the newest that is there: an application may have rules of its own.
fn samples(connection: &Connection) -> rusqlite::Result<Vec<Sample>> {
    let columns = mend::columns(connection)?;
    let plain = columns.iter().filter_map(|column| {
        let value = match &*column.name.to_ascii_lowercase() {
            "event" => text("a"),
            "data" => text("{}"),
            "time" => Value::Integer(1),
            "tenant" | "key" => text("a"),
            _ if column.needs_a_value => Value::Integer(1),
            _ => return None,
        };
        Some((column.name.clone(), value))
    });
    let mut samples = vec![plain.collect()];
    let names: Vec<String> = columns.iter().map(|column| column.quoted()).collect();
    let sql = format!(
        "SELECT {} FROM main.outbox WHERE octet_length(data) <= {MAX_SAMPLE_BYTES}
         AND id = (SELECT max(id) FROM main.outbox)",
        names.join(", ")
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(())?;
    if let Some(row) = rows.next()? {
        let values = (columns.iter().enumerate())
            .map(|(at, column)| Ok((column.name.clone(), row.get(at)?)))
            .collect::<rusqlite::Result<Sample>>();
        samples.extend(values.ok());
    }
    Ok(samples)
}

/// The table without its triggers, and with each of them.
struct Trials {
    bare: Trial,
    guarded: Vec<Trial>,
}

impl Trials {
    /// `None` where not even a good row goes in.
    fn of(connection: &Connection, definition: &Definition) -> rusqlite::Result<Option<Self>> {
        let samples = samples(connection)?;
        let bare = (samples.iter()).find_map(|sample| Trial::new(definition, None, sample));
        Ok(bare.map(|bare| {
            let guarded = (definition.triggers.iter())
                .filter_map(|(_, trigger)| Trial::new(definition, Some(trigger), &bare.sample));
            let guarded = guarded.collect();
            Self { bare, guarded }
        }))
    }

    fn any(&self, refuses: &dyn Fn(&Trial) -> bool) -> bool {
        refuses(&self.bare) || self.guarded.iter().any(refuses)
    }

    /// Whether a key is taken once only, whatever the rows have beside it: a UNIQUE over more columns
    /// than `key` lets the second in where another column differs, or is NULL.
    fn refuse_a_second_key(&self) -> bool {
        let tenant = |value: Value| ("tenant", value);
        let others = [
            (None, None),
            (Some(tenant(Value::Null)), Some(tenant(Value::Null))),
            (Some(tenant(text("one"))), Some(tenant(text("two")))),
            (None, Some(("event", text("another")))),
            (None, Some(("time", Value::Integer(2)))),
        ];
        others.iter().all(|(first, second)| {
            let mut columns = first.iter().chain(second);
            let is_there = columns.all(|(column, _)| self.bare.has(column));
            let refuses = |trial: &Trial| trial.refuses_a_second_key(first, second);
            !is_there || self.any(&refuses)
        })
    }
}

/// The table in memory, empty, with one of its triggers or with none.
struct Trial {
    connection: Connection,
    sample: Sample,
}

impl Trial {
    /// `None` where it can't be made, or takes no good rows.
    fn new(definition: &Definition, trigger: Option<&str>, sample: &Sample) -> Option<Self> {
        let connection = Connection::open_in_memory().ok()?;
        connection.execute_batch("PRAGMA foreign_keys = OFF").ok()?;
        connection.execute_batch(&definition.table).ok()?;
        // One that needs what only the application has is left out.
        for index in &definition.indexes {
            connection.execute_batch(index).ok();
        }
        if let Some(trigger) = trigger {
            connection.execute_batch(trigger).ok()?;
        }
        let sample = sample.clone();
        let trial = Self { connection, sample };
        let well = trial.in_transaction(|trial| Some(trial.insert(&[]).is_ok()));
        (well == Some(true)).then_some(trial)
    }

    fn has(&self, column: &str) -> bool {
        (self.sample.iter()).any(|(name, _)| name.eq_ignore_ascii_case(column))
    }

    /// Whether a value in that column is refused, or can't be tried.
    fn refuses(&self, column: &str, value: &Value) -> bool {
        let tried = self.in_transaction(|trial| trial.refuses_row(&[(column, value.clone())]));
        tried.unwrap_or(true)
    }

    /// Whether a key is refused the second time, in a row that has a value of its own there; or
    /// such rows can't be tried, for a rule of the application's own refuses them.
    fn refuses_a_second_key(&self, first: &Option<Other>, second: &Option<Other>) -> bool {
        let with = |key: &str, other: &Option<Other>| {
            let key = ("key", text(key));
            other.iter().cloned().chain([key]).collect::<Vec<_>>()
        };
        let tried = self.in_transaction(|trial| {
            trial.insert(&with("first", first)).ok()?;
            trial.insert(&with("second", second)).ok()?;
            trial.refuses_row(&with("first", second))
        });
        tried.unwrap_or(true)
    }

    /// Whether a row that names no time gets that of its INSERT, in milliseconds.
    fn gives_the_time(&self) -> bool {
        let given = self.in_transaction(|trial| {
            let mut sample = trial.sample.clone();
            sample.retain(|(name, _)| !name.eq_ignore_ascii_case("time"));
            let near = "SELECT typeof(time) = 'integer'
                           AND abs(time / 1000 - CAST(strftime('%s', 'now') AS INTEGER)) < 86400
                          FROM outbox";
            let row = trial.insert_row(sample);
            let near = row.and_then(|()| trial.connection.query_row(near, (), |row| row.get(0)));
            Some(near.unwrap_or(false))
        });
        given.unwrap_or(true)
    }

    /// Whether a row below the newest that was ever given is refused, though none is in its place.
    fn refuses_an_id_below(&self) -> bool {
        let with_key = |id: Option<i64>, key: &str| {
            let id = id.map(|id| ("id", Value::Integer(id)));
            let key = self.has("key").then(|| ("key", text(key)));
            id.into_iter().chain(key).collect::<Vec<_>>()
        };
        let tried = self.in_transaction(|trial| {
            trial.insert(&with_key(None, "1")).ok()?;
            let set = "UPDATE sqlite_sequence SET seq = 9 WHERE name = 'outbox' COLLATE NOCASE";
            trial.connection.execute(set, ()).ok()?;
            trial.insert(&with_key(None, "10")).ok()?;
            trial.refuses_row(&with_key(Some(5), "5"))
        });
        tried.unwrap_or(true)
    }

    /// Whether a row that differs from the sample is refused; `None` where something else is wrong.
    fn refuses_row(&self, other: &[(&str, Value)]) -> Option<bool> {
        match self.insert(other) {
            Ok(()) => Some(false),
            Err(error) => {
                let rules = [ErrorCode::ConstraintViolation, ErrorCode::TypeMismatch];
                (error.sqlite_error_code())
                    .is_some_and(|code| rules.contains(&code))
                    .then_some(true)
            }
        }
    }

    fn insert(&self, other: &[(&str, Value)]) -> rusqlite::Result<()> {
        let other_of = |name: &str| {
            other
                .iter()
                .find(|(other, _)| name.eq_ignore_ascii_case(other))
        };
        let of_sample = self.sample.iter().map(|(name, value)| {
            let value = other_of(name).map_or(value, |(_, other)| other);
            (name.as_str(), value.clone())
        });
        let more = (other.iter()).filter(|(name, _)| !self.has(name)).cloned();
        self.insert_row(of_sample.chain(more))
    }

    fn insert_row<N: AsRef<str>>(
        &self,
        row: impl IntoIterator<Item = (N, Value)>,
    ) -> rusqlite::Result<()> {
        let (names, values): (Vec<N>, Vec<Value>) = row.into_iter().unzip();
        let names: Vec<String> = (names.iter())
            .map(|name| mend::quoted(name.as_ref()))
            .collect();
        let places = vec!["?"; values.len()].join(", ");
        let sql = format!(
            "INSERT INTO outbox ({}) VALUES ({places})",
            names.join(", ")
        );
        self.connection
            .execute(&sql, params_from_iter(values))
            .map(drop)
    }

    /// Tries something and takes it back.
    fn in_transaction(&self, attempt: impl FnOnce(&Self) -> Option<bool>) -> Option<bool> {
        self.connection.execute_batch("BEGIN").ok()?;
        let tried = attempt(self);
        // A trigger may have rolled it back already.
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK").ok()?;
        }
        tried
    }
}
