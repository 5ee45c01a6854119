//! Another SQLite beside ours, older or newer, writing and checkpointing in one WAL with us: every
//! commit is there afterwards, and was sent.
//!
//! SQLite before 3.51.3 can lose commits where one connection makes the WAL start over as another's
//! checkpoint begins (src/outbox/wal.rs). The application here is one connection of such a SQLite,
//! which checkpoints all the time, in every way there is; the socket writes beside it. Debian's `sqlite3`
//! is tried in each run; `tests/churn/run` tries those that come with packages for Python.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::crash::load::by_line;
use crate::socket::world;
use crate::support::{Receiver, now};

/// How long each is tried, in seconds; `WEBHOOKSD_CHURN` says otherwise.
const SECONDS: u64 = 3;

/// The limit for what is left to be sent.
const SENT: Duration = Duration::from_secs(60);

/// Threads that write through the socket.
const CLIENTS: i64 = 2;

/// An application in Python, with a module that knows SQLite: commits until the time is over, and
/// prints SQLite's version and how often.
const PYTHON: &str = r#"
import importlib, sys, time
name, path, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
module = importlib.import_module(name)
if name == "apsw":
    version = (getattr(module, "sqlite_lib_version", None) or module.sqlitelibversion)()
    def connect():
        return module.Connection(path).cursor().execute
else:
    version = module.sqlite_version
    def connect():
        return module.connect(path, isolation_level=None, timeout=20).execute
run, n, end = connect(), 0, time.time() + seconds
while time.time() < end:
    if n % 50 == 0:
        run = connect()
        run("PRAGMA busy_timeout = 20000").fetchall()
        run("PRAGMA wal_autocheckpoint = %d" % (5 + n % 40)).fetchall()
    run("BEGIN IMMEDIATE").fetchall()
    run("INSERT INTO story VALUES (?)", (n,)).fetchall()
    run("INSERT INTO outbox (event, data) VALUES ('app', ?)", (str(n),)).fetchall()
    run("COMMIT").fetchall()
    n += 1
    if n % 3 == 0:
        run("PRAGMA wal_checkpoint(%s)" % ("PASSIVE", "PASSIVE", "FULL", "RESTART", "TRUNCATE")[n // 3 % 5]).fetchall()
print(version, n)
"#;

/// How the application is run.
enum Writer {
    /// The program `sqlite3`.
    Shell,
    /// A Python with a module.
    Python(String, String),
}

fn seconds() -> u64 {
    let given = std::env::var("WEBHOOKSD_CHURN").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(SECONDS)
}

/// `sqlite3`, and what `WEBHOOKSD_CHURN_PYTHONS` names: `/path/of/python:module`, with blanks between.
fn writers() -> Vec<Writer> {
    let mut writers = vec![Writer::Shell];
    let given = std::env::var("WEBHOOKSD_CHURN_PYTHONS").unwrap_or_default();
    writers.extend(given.split_whitespace().map(|word| {
        let (python, module) = word.split_once(':').unwrap();
        Writer::Python(python.to_owned(), module.to_owned())
    }));
    writers
}

impl Writer {
    /// Runs the application; its SQLite's version and how often it committed. `None` where there is
    /// no such program.
    fn run(&self, outbox: &Path) -> Option<(String, i64)> {
        match self {
            Self::Shell => by_shell(outbox),
            Self::Python(python, module) => {
                let mut command = Command::new(python);
                command.args(["-c", PYTHON, module]).arg(outbox);
                let done = well(command.arg(seconds().to_string()).output().unwrap());
                let (version, commits) = done.trim().split_once(' ').unwrap();
                let program = format!("Python's {module} {version}");
                Some((program, commits.parse().unwrap()))
            }
        }
    }
}

fn well(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same as in Python, as lines for `sqlite3`.
fn by_shell(outbox: &Path) -> Option<(String, i64)> {
    let version = Command::new("sqlite3").arg("--version").output().ok()?;
    let version = well(version);
    let mut shell = Command::new("sqlite3");
    shell.arg("-batch").arg(outbox);
    shell
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    let mut input = shell.stdin.take().unwrap();
    let (begun, mut n) = (now(), 0);
    while begun.elapsed() < Duration::from_secs(seconds()) {
        let mut text = String::new();
        if n % 50 == 0 {
            let pages = 5 + n % 40;
            writeln!(text, ".open '{}'\n.timeout 20000", outbox.display()).unwrap();
            writeln!(text, "PRAGMA wal_autocheckpoint = {pages};").unwrap();
        }
        writeln!(
            text,
            "BEGIN IMMEDIATE; INSERT INTO story VALUES ({n});
             INSERT INTO outbox (event, data) VALUES ('app', '{n}'); COMMIT;"
        )
        .unwrap();
        n += 1;
        if n % 3 == 0 {
            let modes = ["PASSIVE", "PASSIVE", "FULL", "RESTART", "TRUNCATE"];
            let mode = modes[usize::try_from(n / 3 % 5).unwrap()];
            writeln!(text, "PRAGMA wal_checkpoint({mode});").unwrap();
        }
        input.write_all(text.as_bytes()).unwrap();
    }
    drop(input);
    well(shell.wait_with_output().unwrap());
    let number = version.split(' ').next().unwrap();
    Some((format!("sqlite3 {number}"), n))
}

/// Writes through the socket, one event at a time; the ids by number.
fn by_socket(world: &Path, client: i64, stop: &AtomicBool) -> BTreeMap<i64, i64> {
    let mut ids = BTreeMap::new();
    let mut n = client;
    while !stop.load(Ordering::SeqCst) {
        let event = format!("{{\"event\":\"socket\",\"data\":{n}}}");
        let stream = UnixStream::connect(world.join("s.sock")).unwrap();
        let id = by_line(stream, &event);
        ids.insert(n, id.unwrap_or_else(|| panic!("{event} was refused")));
        n += CLIENTS;
    }
    ids
}

/// Ends the clients when it goes.
struct Ending<'clients>(&'clients AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs the application beside the daemon, and holds that nothing is lost.
fn try_beside(writer: &Writer) {
    let receiver = Receiver::ok();
    let world = world(&receiver.url("/"));
    world
        .outbox()
        .execute_batch("CREATE TABLE story (n)")
        .unwrap();
    let daemon = world.start();
    let outbox = world.path("outbox.db");
    let stop = AtomicBool::new(false);
    let (done, ids) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let (folder, stop) = (world.folder(), &stop);
                    move || by_socket(folder, client, stop)
                })
            })
            .collect();
        // Also where it fails, or the clients would go on for ever.
        let end = Ending(&stop);
        let done = writer.run(&outbox);
        drop(end);
        let ids = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        (done, ids.collect::<BTreeMap<_, _>>())
    });
    let Some((program, commits)) = done else {
        println!("SKIPPED: there is no sqlite3 to write beside");
        return;
    };
    let ours = i64::try_from(ids.len()).unwrap();
    assert!(commits > 0 && ours > 0, "{program}: {commits} {ours}");
    is_all_there(&world.outbox(), commits, &ids);
    let delivered = "SELECT count(DISTINCT event_id) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, commits + ours, SENT);
    daemon.stop();
    let copy = world.path("copy.db");
    std::fs::copy(&outbox, &copy).unwrap();
    is_all_there(&Connection::open(&copy).unwrap(), commits, &ids);
    println!(
        "{program}: {commits} commits of the application's, {ours} of the socket's, none lost"
    );
}

fn is_all_there(outbox: &Connection, commits: i64, ids: &BTreeMap<i64, i64>) {
    let number = |sql: &str| -> i64 { outbox.query_row(sql, (), |row| row.get(0)).unwrap() };
    let check: String = outbox
        .query_row("PRAGMA integrity_check", (), |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    assert_eq!(number("SELECT count(DISTINCT n) FROM story"), commits);
    let distinct = "SELECT count(DISTINCT data) FROM outbox WHERE event = 'app'";
    assert_eq!(number(distinct), commits);
    let mut row = outbox
        .prepare("SELECT data FROM outbox WHERE id = ?1")
        .unwrap();
    for (n, id) in ids {
        let data: String = row.query_row((id,), |row| row.get(0)).unwrap();
        assert_eq!(data, n.to_string(), "event {id}");
    }
}

#[test]
fn nothing_is_lost_beside_another_sqlite_that_checkpoints_all_the_time() {
    for writer in writers() {
        try_beside(&writer);
    }
}
