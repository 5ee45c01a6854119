//! The commands as typed: exit codes, what they print, and what they leave behind.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Received, Receiver, SOON, World, hook, need, sqlite};

/// Commands that must be there; whatever else `--help` names is held to the same.
const COMMANDS: [&str; 6] = ["run", "demo", "check", "start-from", "emit", "schema"];

const NONE: (&str, &str) = ("WEBHOOKSD_TEST", "");

fn plain(world: &World, arguments: &[&str]) -> crate::support::Finished {
    world.plain(arguments, (NONE.0, OsStr::new(NONE.1)), SOON)
}

/// `sqlite3 FILE` with `sql` as its input, and patience with others that use the file.
fn sqlite3_with_input(world: &World, file: &str, sql: &str) {
    if !need("sqlite3") {
        sqlite(&world.path(file), sql).unwrap();
        return;
    }
    world.write("input.sql", sql);
    let status = Command::new("sqlite3")
        .args(["-bail", "-cmd", ".timeout 5000"])
        .arg(world.path(file))
        .stdin(std::fs::File::open(world.path("input.sql")).unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn the_shipped_configuration_checks() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/webhooks.toml");
    let world = World::bare(&[]);
    world.write("webhooks.toml", std::fs::read(shipped).unwrap());
    let checked = world.command(&["check"]);
    println!("{}{}", checked.stdout, checked.stderr);
    checked.expect(0);
}

#[test]
fn check_exits_2_and_names_every_error_with_its_line() {
    let world = World::bare(&[
        hook("good", "http://127.0.0.1/"),
        hook("Bad Name", "http://127.0.0.1/"),
        hook("bad-url", "gopher://127.0.0.1/"),
    ]);
    let checked = world.command(&["check"]).expect(2);
    let all = format!("{}{}", checked.stdout, checked.stderr);
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    for bad in ["Bad Name", "gopher"] {
        let line = 1 + text.lines().position(|line| line.contains(bad)).unwrap();
        assert!(all.contains(&format!("webhooks.toml:{line}:")), "{all}");
    }
    assert!(!world.path("log.db").exists() && !world.path("outbox.db").exists());
}

#[test]
fn emit_writes_an_event_with_and_without_the_daemon() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    world
        .command(&["emit", "story-approve", r#"{"n": 1}"#])
        .expect(0);
    let daemon = world.start();
    assert_eq!(receiver.wait(1, SOON)[0].n(), 1);
    world
        .command(&["emit", "story-approve", r#"{"n": 2}"#])
        .expect(0);
    assert_eq!(receiver.wait(2, SOON)[1].n(), 2);
    world.command(&["emit", "without-data"]).expect(0);
    receiver.wait(3, SOON);
    daemon.stop();
    for bad in [["emit", "no name", "{}"], ["emit", "name", "{"]] {
        let failed = world.command(&bad);
        assert!(matches!(failed.code, Some(1 | 2)), "{bad:?}");
        assert!(!failed.stderr.is_empty());
    }
    let count: i64 = world
        .outbox()
        .query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 3);
}

/// Lines of NDJSON, the one with the number `bad` (from 1) without its end.
fn lines(count: usize, bad: Option<usize>) -> String {
    let mut text = String::new();
    for number in 1..=count {
        let end = if bad == Some(number) { "" } else { "}" };
        writeln!(text, r#"{{"event":"e","data":{{"n": {number}}}{end}"#).unwrap();
    }
    text
}

#[test]
fn emit_takes_ten_thousand_lines_and_they_all_arrive() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/")).line("keep_alive = true")]);
    world.write("events.ndjson", lines(10_000, None));
    let start = crate::support::now();
    world
        .command_with_input(&["emit", "-"], "events.ndjson")
        .expect(0);
    println!("10,000 lines in {:?}", start.elapsed());
    let (count, last): (i64, String) = world
        .outbox()
        .query_row(
            "SELECT count(*), (SELECT data FROM outbox ORDER BY id DESC LIMIT 1) FROM outbox",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!((count, last.as_str()), (10_000, r#"{"n": 10000}"#));
    let start = crate::support::now();
    let daemon = world.start();
    let limit = Duration::from_secs(60);
    let sql = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(sql, 10_000, limit);
    println!("delivered after {:?}", start.elapsed());
    let mut came: Vec<i64> = receiver.received().iter().map(Received::n).collect();
    came.sort_unstable();
    assert_eq!(came, (1..=10_000).collect::<Vec<i64>>());
    daemon.stop();
}

#[test]
fn emit_names_a_bad_line_and_what_it_has_stored() {
    let world = World::new(&[hook("one", "http://127.0.0.1:9/")]);
    world.write("events.ndjson", lines(3_000, Some(2_345)));
    let failed = world.command_with_input(&["emit", "-"], "events.ndjson");
    assert!(matches!(failed.code, Some(1 | 2)), "{}", failed.stderr);
    let words = failed.stderr.replace(',', "");
    println!("{words}");
    assert!(words.contains("line 2345"), "{words}");
    let count: i64 = world
        .outbox()
        .query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
        .unwrap();
    assert!(count < 2_345, "{count}");
    let told = count == 0 || words.contains(&count.to_string());
    assert!(told, "{count} rows are stored: {words}");
}

#[test]
fn the_outbox_schema_goes_into_an_applications_own_database() {
    let receiver = Receiver::ok();
    let world = World::bare(&[hook("one", receiver.url("/"))]);
    let schema = world.command(&["schema", "outbox"]).expect(0).stdout;
    let own = "CREATE TABLE story (id INTEGER PRIMARY KEY, title TEXT);";
    sqlite3_with_input(&world, "outbox.db", own);
    sqlite3_with_input(&world, "outbox.db", &schema);
    let daemon = world.start();
    let both = "BEGIN; INSERT INTO story (title) VALUES ('A');
                INSERT INTO outbox (event, data) VALUES ('story-submit', '{\"n\": 1}'); COMMIT;";
    sqlite3_with_input(&world, "outbox.db", both);
    assert_eq!(receiver.wait(1, SOON)[0].n(), 1);
    daemon.stop();
    let titles: i64 = world
        .outbox()
        .query_row("SELECT count(*) FROM story", [], |row| row.get(0))
        .unwrap();
    assert_eq!(titles, 1);
    // The rules hold in the application's own program.
    for (values, name) in [
        ("'e', 'no json'", "data is JSON text"),
        ("'no name', '{}'", "event is 1 to 255"),
    ] {
        let sql = format!("INSERT INTO outbox (event, data) VALUES ({values})");
        let error = world.outbox().execute(&sql, []).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    let by_hand = "INSERT INTO outbox (id, event, data) VALUES (1, 'e', '{}')";
    assert!(world.outbox().execute(by_hand, []).is_err());
}

#[test]
fn the_log_schema_is_sql_that_makes_the_views() {
    let world = World::bare(&[]);
    let schema = world.command(&["schema", "log"]).expect(0).stdout;
    sqlite3_with_input(&world, "empty.db", &schema);
    let empty = rusqlite::Connection::open(world.path("empty.db")).unwrap();
    for view in [
        "log",
        "failed",
        "health",
        "delivery",
        "rejected",
        "redelivery",
        "pause",
    ] {
        let sql = format!("SELECT count(*) FROM {view}");
        let count: i64 = empty.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(count, 0, "{view}");
    }
}

#[test]
fn the_help_of_each_command_has_an_example() {
    let world = World::bare(&[]);
    let all = plain(&world, &["--help"]).expect(0).stdout;
    assert!(all.contains("Example"), "{all}");
    let listed = all.lines().skip_while(|line| *line != "Commands:").skip(1);
    let named = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let commands: Vec<String> = listed.map_while(named).collect();
    println!("{commands:?}");
    for command in COMMANDS {
        assert!(commands.iter().any(|c| c == command), "{command} in\n{all}");
    }
    for command in commands.iter().filter(|command| *command != "help") {
        let help = plain(&world, &[command, "--help"]).expect(0).stdout;
        assert!(help.contains("Example"), "{command}:\n{help}");
        assert!(help.contains(&format!("webhooksd {command}")), "{help}");
    }
}

#[test]
fn what_is_not_a_command_or_not_there_is_bad_usage() {
    let world = World::bare(&[]);
    for bad in [
        &["deliver"][..],
        &[],
        &["run", "--fast"],
        &["schema", "inbox"],
    ] {
        let finished = plain(&world, bad).expect(2);
        assert!(
            finished.stderr.contains("--help"),
            "{bad:?}: {}",
            finished.stderr
        );
    }
    let missing = plain(&world, &["check", "--config", "missing.toml"]).expect(2);
    assert!(
        missing.stderr.contains("missing.toml"),
        "{}",
        missing.stderr
    );
}

#[test]
fn demo_shows_the_whole_thing_and_leaves_nothing() {
    let world = World::bare(&[]);
    std::fs::create_dir(world.path("tmp")).unwrap();
    let folder = world.path("tmp");
    let limit = Duration::from_secs(60);
    let start = crate::support::now();
    let demo = world
        .plain(&["demo"], ("TMPDIR", folder.as_os_str()), limit)
        .expect(0);
    println!("{:?}\n{}", start.elapsed(), demo.stdout);
    for word in ["delivered", "retry", "sqlite3"] {
        assert!(demo.stdout.contains(word), "{word}");
    }
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_nobody_reads_stops_no_command() {
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let world = World::bare(&[]);
    world.write("events", "{\"event\":\"e\",\"data\":{}}\n".repeat(3));
    // A warning, a row that is written, a file that is made, a count, a page: all into closed pipes.
    for words in [
        &["check"][..],
        &["emit", "e", "{}"],
        &["emit", "-"],
        &["explain", "1"],
        &["schema", "log"],
        &["man"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webhooksd"));
        command.args(words).current_dir(world.folder());
        command.stdin(std::fs::File::open(world.path("events")).unwrap());
        let status = command.stdout(gone()).stderr(gone()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{words:?}");
    }
    let count = "SELECT count(*) FROM outbox";
    let rows: i64 = world
        .outbox()
        .query_row(count, [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 4);
}

#[test]
fn an_error_that_nobody_reads_still_has_its_exit_code() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_webhooksd"))
        .args(["check", "--config", "/nowhere/webhooks.toml"])
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}
