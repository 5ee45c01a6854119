//! The recipes for the log, of the first page and of the manual: each of them finds what there is, in a file and in
//! PostgreSQL, with the same columns and the same rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::page::{one, under};
use super::{LOG, READ, shell};
use crate::postgres::logging;
use crate::support::{
    Answer, Daemon, Database, Hook, Receiver, SOON, World, check, eventually, hook, need, postgres,
    sqlite,
};

/// How many there are: on the first page, and in the manual.
pub(super) const RECIPES: (usize, usize) = (3, 5);

/// What each recipe that reads must show, in the order of the pages.
const SHOWS: [&[&str]; 6] = [
    &["story-approve", "warehouse", "|503|", "|200|"],
    &["|search-index|story-approve|", "|1|503|answered 503"],
    &[
        "search-index|1|failed|503",
        "warehouse|1|delivered|200",
        "warehouse|delivered|1|",
    ],
    &["search-index|0|1|1|1|1|", "warehouse|0|1|0|1|0|"],
    &[
        "Content-Type: application/json",
        r#""data":{"id": 7}"#,
        "content-length: 2",
    ],
    &["|too-large|"],
];

/// What people see of a log by its engine's own means.
enum Log {
    File(World),
    Server(World, Database),
}

/// One story: an event that one endpoint refuses and another takes, and one that is too large.
struct Told {
    log: Log,
    daemon: Daemon,
    changing: Receiver,
    status: Arc<AtomicU16>,
    _good: Receiver,
}

impl Log {
    fn world(&self) -> &World {
        match self {
            Self::File(world) | Self::Server(world, _) => world,
        }
    }

    /// The columns and rows of each statement.
    fn read(&self, sql: &str) -> Vec<(String, Vec<String>)> {
        match self {
            Self::File(world) => {
                let log = Connection::open(world.path("log.db")).unwrap();
                let statements = sql.split_inclusive(";\n");
                statements.map(|sql| found_in(&log, sql)).collect()
            }
            Self::Server(_, database) => {
                let statements = sql.split_inclusive(";\n");
                statements.map(|sql| found_by(database, sql)).collect()
            }
        }
    }

    /// The one value of a statement.
    fn number(&self, sql: &str) -> i64 {
        let found = self.read(&format!("{sql};\n"));
        found[0].1.first().map_or(0, |row| row.parse().unwrap())
    }

    fn change(&self, sql: &str) {
        match self {
            Self::File(world) => drop(sqlite(&world.path("log.db"), sql).unwrap()),
            Self::Server(_, database) => {
                database.sql(&format!("SET search_path = webhooksd;\n{sql}"));
            }
        }
    }

    fn emit(&self, event: &str, data: &str) {
        match self {
            Self::File(world) => drop(world.emit(event, data)),
            Self::Server(_, database) => drop(database.emit(event, data)),
        }
    }

    #[track_caller]
    fn wait(&self, sql: &str, count: i64) {
        eventually(sql, SOON, || {
            let seen = self.number(sql);
            check(seen == count, || seen.to_string())
        });
    }
}

/// A statement's columns, and its rows as `sqlite3` prints them.
fn found_in(log: &Connection, sql: &str) -> (String, Vec<String>) {
    let mut statement = log
        .prepare(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let columns: Vec<&str> = statement.column_names().collect();
    let columns = columns.join("|");
    let count = statement.column_count();
    let text = |row: &rusqlite::Row<'_>| {
        let cell = |at| match row.get_ref(at).unwrap() {
            ValueRef::Null => String::new(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                String::from_utf8_lossy(bytes).into_owned()
            }
        };
        Ok((0..count).map(cell).collect::<Vec<_>>().join("|"))
    };
    let rows = statement.query_map([], text).unwrap();
    let mut rows: Vec<String> = rows.map(Result::unwrap).collect();
    rows.sort();
    (columns, rows)
}

/// The same in PostgreSQL. Cells and rows end by what is in no text.
fn found_by(database: &Database, sql: &str) -> (String, Vec<String>) {
    let sql = sql.trim().trim_end_matches(';');
    let of = |what: &str| {
        database.sql(&format!(
            "SET search_path = webhooksd;\nCREATE TEMPORARY VIEW recipe AS {sql};\n{what}"
        ))
    };
    let columns = of(
        "SELECT string_agg(attname, '|' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'recipe'::regclass",
    );
    // As text, a body among them, which is bytes.
    let cells = columns.split('|').map(|column| match column {
        "response_body" => "coalesce(convert_from(response_body, 'UTF8'), '')".to_owned(),
        other => format!("coalesce({other}::text, '')"),
    });
    let cells: Vec<String> = cells.collect();
    let rows = of(&format!(
        "SELECT json_agg(concat_ws('|', {}))::text FROM recipe",
        cells.join(", ")
    ));
    let mut rows: Vec<String> = serde_json::from_str(&rows).unwrap();
    rows.sort();
    (columns, rows)
}

/// Without what is another one each time: times, ports, ids and durations.
fn alike(rows: &[String]) -> Vec<String> {
    let is_said = |word: &&str| {
        let is_id = word.starts_with("evt_") || word.contains(|c: char| c.is_ascii_digit());
        !word.is_empty() && !is_id
    };
    let words = |row: &String| {
        let words = row.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(is_said).collect::<Vec<_>>().join(" ")
    };
    rows.iter().map(words).collect()
}

fn hooks(changing: &Receiver, good: &Receiver) -> [Hook; 2] {
    [
        hook("search-index", changing.url("/hooks/story")).one_attempt(),
        hook("warehouse", good.url("/webhooks")),
    ]
}

/// Tells the story to a log of an engine; its first event has the id that the recipes name.
fn tell(database: Option<Database>) -> Told {
    let status = Arc::new(AtomicU16::new(503));
    let says = status.clone();
    let changing = Receiver::start(move |_| Answer::status(says.load(Ordering::SeqCst)));
    let good = Receiver::ok();
    let hooks = hooks(&changing, &good);
    let log = match database {
        None => Log::File(World::new(&hooks)),
        Some(database) => Log::Server(logging(&database, "", &hooks), database),
    };
    let daemon = log.world().start();
    log.emit("story-approve", r#"{"id": 7}"#);
    log.wait("SELECT count(*) FROM log", 2);
    log.emit("too-large", &format!("\"{}\"", "x".repeat(1 << 20)));
    log.wait("SELECT count(*) FROM rejected", 1);
    // `health` is counted once a second.
    log.wait("SELECT sum(attempts_hour) FROM health", 2);
    Told {
        log,
        daemon,
        changing,
        status,
        _good: good,
    }
}

/// The recipes, with the ids that this log has in the place of those that the pages name.
fn recipes(log: &Log) -> (Vec<String>, Vec<String>) {
    let first = "SELECT min(event_id) FROM log";
    let shown = "SELECT id FROM log WHERE webhook = 'search-index'";
    let (event, attempt) = (log.number(first), log.number(shown));
    let all = [under(READ, "sql"), under(LOG, "sql")].concat();
    let named = all.into_iter().map(|recipe| {
        let recipe = recipe.replace("event_id = 1 ", &format!("event_id = {event} "));
        let recipe = recipe.replace("event_id = 1;", &format!("event_id = {event};"));
        recipe.replace("WHERE id = 1;", &format!("WHERE id = {attempt};"))
    });
    let (insert, select): (Vec<_>, Vec<_>) = named.partition(|r| r.starts_with("INSERT"));
    let count = (insert.len(), select.len());
    assert_eq!(count, (2, RECIPES.0 + RECIPES.1 - 2));
    (insert, select)
}

/// What the recipes that read find, by the recipe's place and the statement's.
fn read(log: &Log) -> BTreeMap<(usize, usize), (String, Vec<String>)> {
    let mut all = BTreeMap::new();
    for (place, (recipe, shows)) in recipes(log).1.iter().zip(SHOWS).enumerate() {
        let found = log.read(recipe);
        let text: Vec<String> = found.iter().flat_map(|(_, rows)| rows.clone()).collect();
        let text = text.join("\n");
        for shown in shows {
            assert!(text.contains(shown), "{recipe}\n{shown}\n{text}");
        }
        for (at, (columns, rows)) in found.into_iter().enumerate() {
            // Two webhooks have one event at the same time: either is the first.
            let mut rows = alike(&rows);
            rows.sort();
            all.insert((place, at), (columns, rows));
        }
    }
    all
}

/// Those that write do what they say.
fn write(told: Told) {
    let log = &told.log;
    let insert = recipes(log).0;
    // A pause, which ends with the last of its statements.
    log.change(&insert[1]);
    assert_eq!(log.number("SELECT count(*) FROM pause"), 0);
    told.status.store(200, Ordering::SeqCst);
    log.change(&insert[0]);
    let again = told.changing.wait(2, SOON);
    assert_eq!(again[0].body, again[1].body);
    log.wait("SELECT count(*) FROM delivery WHERE state = 'delivered'", 2);
    assert_eq!(log.number("SELECT count(*) FROM failed"), 0);
    told.daemon.stop();
}

#[test]
fn the_recipes_for_the_log_find_what_there_is_in_both_engines() {
    let in_file = tell(None);
    if need("sqlite3") {
        let shown = shell(in_file.log.world().folder(), &one(READ, "sh"));
        assert!(
            shown.contains("search-index") && shown.contains("answered 503"),
            "{shown}"
        );
        for recipe in recipes(&in_file.log).1 {
            in_file.log.world().sqlite3(&[], &recipe).expect(0);
        }
    }
    let found = read(&in_file.log);
    write(in_file);
    let Some(server) = postgres() else { return };
    let on_server = tell(Some(server.database()));
    assert_eq!(found, read(&on_server.log));
    write(on_server);
}
