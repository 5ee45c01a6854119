//! A log that was copied: without a configuration, a daemon, or the right to write beside it.

use rusqlite::Connection;

use super::{Browser, delivery, one_of_each};
use crate::support::{SOON, World};

/// The names in a folder.
fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_copy_is_shown_alone_and_left_as_it_was() {
    let (world, daemon, _receivers) = one_of_each();
    let id = delivery(&world, "bad");
    let counted = "SELECT count(*) FROM health WHERE attempts_hour = 1";
    world.wait_number(counted, 2, SOON);
    let away = tempfile::tempdir().unwrap();
    let copy = away.path().join("back up.db");
    let log = Connection::open(world.path("log.db")).unwrap();
    log.execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    drop(log);
    daemon.stop();
    drop(world);
    let browser = Browser::start(away.path(), &["--log", "back up.db"]);
    let page = browser.page("/");
    assert!(page.contains("This is a copy"), "{page}");
    assert!(
        page.contains(">bad<") && page.contains("answered 500"),
        "{page}"
    );
    assert!(browser.page("/log?q=since:1h").contains("story-approve"));
    browser.page(&format!("/deliveries/{id}"));
    browser.page("/events/1");
    assert_eq!(
        names(away.path()),
        ["back up.db"],
        "it left something behind"
    );
}

#[test]
fn what_is_no_log_of_this_program_is_refused_at_once() {
    let world = World::new(&[]);
    let refused = |name: &str, words: &str| {
        let path = world.path(name);
        let arguments = ["page", "--port", "0", "--log", path.to_str().unwrap()];
        let ended = world.command(&arguments).expect(1);
        let stderr = &ended.stderr;
        assert!(stderr.contains(words), "{name}: {stderr}");
        assert!(stderr.contains(name), "{name}: {stderr}");
        assert!(ended.stdout.is_empty(), "{name}: {}", ended.stdout);
    };
    refused("missing.db", "there is no log at");
    world.write("text.db", "no database at all ".repeat(100));
    refused("text.db", "file is not a database");
    refused("outbox.db", "database of another program");
    std::fs::create_dir(world.path("folder.db")).unwrap();
    refused("folder.db", "there is a folder");
    let daemon = world.start();
    daemon.stop();
    let log = Connection::open(world.path("log.db")).unwrap();
    // A shape whose attempts knew of no batches.
    std::fs::copy(world.path("log.db"), world.path("earlier.db")).unwrap();
    let earlier = Connection::open(world.path("earlier.db")).unwrap();
    earlier
        .execute_batch("DROP VIEW health; DROP VIEW log; CREATE VIEW log AS SELECT 1 AS id; PRAGMA user_version = 6")
        .unwrap();
    drop(earlier);
    refused("earlier.db", "written by an earlier version");
    log.execute_batch("PRAGMA user_version = 999").unwrap();
    drop(log);
    refused("log.db", "newer");
    let ended = world.command(&["page", "--port", "0"]).expect(1);
    assert!(ended.stderr.contains("newer"), "{}", ended.stderr);
}

#[test]
fn without_a_log_the_page_does_not_begin() {
    let world = World::new(&[]);
    let ended = world.command(&["page", "--port", "0"]).expect(1);
    assert!(
        ended.stderr.contains("there is no log yet"),
        "{}",
        ended.stderr
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let daemon = world.start();
    let ended = world.command(&["page", "--port", &port]).expect(1);
    assert!(ended.stderr.contains("--port 0"), "{}", ended.stderr);
    daemon.stop();
}
