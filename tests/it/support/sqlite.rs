//! SQLite as other programs use it: what `sqlite3` does and prints, without the program.
//!
//! Rows are printed as `sqlite3` prints them, a line each, with `|` between the values. An application
//! that has to be a process, since it is killed, runs as another user or on another disk, is
//! the tests' own binary, run again. Left out: all dot commands.

use std::fs::File;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection, OpenFlags};

use super::daemon::Finished;
use super::{SOON, need};

/// Longer than any transaction of the tests.
const BUSY: Duration = Duration::from_secs(10);

/// Set where the binary is to be an application: how the database is opened, and its path.
const OPEN: &str = "WEBHOOKSD_TEST_SQLITE";

/// The test that is the application.
const NAME: &str = "support::sqlite::the_application";

/// What `sqlite3 FILE SQL` prints, or complains of; everything before the error was done.
pub(crate) fn sqlite(database: &Path, sql: &str) -> Result<String, String> {
    let connection = Connection::open(database).map_err(|error| error.to_string())?;
    connection.busy_timeout(BUSY).unwrap();
    let mut printed = Vec::new();
    match print(&connection, sql, &mut printed) {
        Ok(()) => Ok(String::from_utf8(printed).unwrap()),
        Err(error) => Err(error.to_string()),
    }
}

/// An application: a process that takes lines of whole statements on its standard input and prints
/// rows on its standard output. `sqlite3` where it is installed, which is an older SQLite than ours.
pub(crate) fn application(database: &Path) -> Command {
    if need("sqlite3") {
        let mut sqlite3 = Command::new("sqlite3");
        sqlite3.args(["-batch", "-cmd", ".timeout 10000"]);
        sqlite3.arg(database);
        sqlite3
    } else {
        own(&[], "rw", database)
    }
}

/// Runs SQL on a database to its end, behind the words of `prefix`, such as those of `setpriv`, in a
/// process with the SQLite of the tests.
#[track_caller]
pub(crate) fn sqlite_behind(prefix: &[&str], database: &Path, sql: &str) -> Finished {
    ended(own(prefix, "rw", database), sql)
}

/// The same with `-readonly`.
#[track_caller]
pub(crate) fn sqlite_readonly_behind(prefix: &[&str], database: &Path, sql: &str) -> Finished {
    ended(own(prefix, "ro", database), sql)
}

#[track_caller]
fn ended(mut command: Command, sql: &str) -> Finished {
    let mut input = tempfile::tempfile().unwrap();
    // It takes lines.
    input.write_all(sql.replace('\n', " ").as_bytes()).unwrap();
    std::io::Seek::rewind(&mut input).unwrap();
    command.stdin(input);
    Finished::run(command, std::env::temp_dir().as_path(), SOON)
}

/// The tests' binary as an application. The test harness prints on its standard output, so its
/// answers come by standard error, and the shell turns that into the other.
fn own(prefix: &[&str], how: &str, database: &Path) -> Command {
    let words = [prefix, &["sh", "-c", "exec \"$@\" 2>&1 >/dev/null", "sh"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", NAME, "--nocapture"]);
    command.env(OPEN, format!("{how}:{}", database.display()));
    command
}

/// Not a test but where the environment says so: then it is an application.
#[test]
fn the_application() {
    let Ok(open) = std::env::var(OPEN) else {
        return;
    };
    let (how, path) = open.split_once(':').unwrap();
    let flags = match how {
        "ro" => OpenFlags::SQLITE_OPEN_READ_ONLY,
        _ => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    let connection = Connection::open_with_flags(path, flags).unwrap();
    connection.busy_timeout(BUSY).unwrap();
    // Not locked: a failure below has to be printed too.
    let mut answers = File::from(rustix::io::dup(std::io::stderr()).unwrap());
    for line in std::io::stdin().lock().lines() {
        print(&connection, &line.unwrap(), &mut answers).unwrap();
    }
}

/// Runs every statement and prints every row.
fn print(connection: &Connection, sql: &str, to: &mut impl Write) -> rusqlite::Result<()> {
    let mut batch = Batch::new(connection, sql);
    while let Some(mut statement) = batch.next()? {
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let mut line = Vec::new();
            for at in 0..columns {
                if at > 0 {
                    line.push(b'|');
                }
                match row.get_ref(at)? {
                    ValueRef::Null => {}
                    ValueRef::Integer(number) => line.extend(number.to_string().bytes()),
                    ValueRef::Real(number) => line.extend(format!("{number:?}").bytes()),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => line.extend(bytes),
                }
            }
            line.push(b'\n');
            to.write_all(&line).unwrap();
        }
    }
    Ok(())
}

#[test]
fn rows_are_printed_as_sqlite3_prints_them() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("a.db");
    let sql = "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, NULL), (2.5, 'x|y'), (3.0, x'61');\n\
               SELECT * FROM t; SELECT count(*) FROM t;";
    let expected = "1|\n2.5|x|y\n3.0|a\n3\n";
    assert_eq!(sqlite(&database, sql), Ok(expected.to_owned()));
    let select = "SELECT * FROM t;\nSELECT count(*) FROM t;";
    let reader = sqlite_readonly_behind(&[], &database, select).expect(0);
    assert_eq!((&*reader.stdout, &*reader.stderr), (expected, ""));
    let refused = sqlite_readonly_behind(&[], &database, "DELETE FROM t");
    assert_ne!(refused.code, Some(0));
    sqlite_behind(&[], &database, "DELETE FROM t").expect(0);
    let error = sqlite(&database, "SELECT 7; SELECT * FROM absent").unwrap_err();
    assert!(error.contains("no such table: absent"), "{error}");
    if need("sqlite3") {
        let sqlite3 = folder.path().join("b.db");
        let output = Command::new("sqlite3").arg(sqlite3).arg(sql).output();
        assert_eq!(output.unwrap().stdout, expected.as_bytes());
    }
}
