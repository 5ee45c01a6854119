//! The file itself: modes, the WAL, versions, and files that are no log.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::model::Vfs;
use crate::store::wal::WalBounds;

#[test]
fn every_file_is_closed_to_others_and_outlives_the_daemon() {
    let log = Log::new();
    let mut store = log.open();
    store.admit_all(&admission(1..=1, &["a"]), NOW).unwrap();
    drop(Checkpointer::open(&log.path).unwrap());
    drop(store);
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", log.path.display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o660, "{path}");
    }
    let reader = Reader::open(&log.path).unwrap();
    assert_eq!(reader.pending().unwrap(), [("a".to_owned(), 1)]);
}

#[test]
fn the_settings_that_cannot_be_changed_later() {
    let log = Log::new();
    drop(log.open());
    assert_eq!(log.ask::<i64>("PRAGMA page_size"), 8192);
    assert_eq!(log.ask::<i64>("PRAGMA auto_vacuum"), 2);
    assert_eq!(log.ask::<String>("PRAGMA journal_mode"), "wal");
    assert_eq!(
        log.ask::<i64>("PRAGMA application_id"),
        schema::APPLICATION_ID
    );
}

#[test]
fn a_newer_log_is_refused_and_left_alone() {
    let log = Log::new();
    drop(log.open());
    log.execute("PRAGMA user_version = 99").unwrap();
    let error = Store::open(&log.path, NOW).unwrap_err();
    assert!(matches!(error, Error::Newer { version: 99, .. }), "{error}");
    assert!(!error.is_transient() && error.hint().is_some());
    assert!(matches!(Reader::open(&log.path), Err(Error::Newer { .. })));
    assert_eq!(log.ask::<i64>("PRAGMA user_version"), 99);
}

#[test]
fn migrations_are_applied_once_each_and_one_that_fails_leaves_the_shape_before() {
    let log = Log::new();
    create::create(&log.path).unwrap();
    let mut connection = connect::writer(&log.path, Vfs::default()).unwrap();
    let good = [
        "CREATE TABLE a (x)",
        "ALTER TABLE a ADD COLUMN y; INSERT INTO a VALUES (1, 2)",
    ];
    schema::migrate_with(&mut connection, &log.path, &good[..1]).unwrap();
    let bad = [good[0], "ALTER TABLE a ADD COLUMN y; SELECT none"];
    let error = schema::migrate_with(&mut connection, &log.path, &bad).unwrap_err();
    assert!(
        matches!(error, Error::Migrate { version: 2, .. }),
        "{error}"
    );
    assert_eq!(log.ask::<i64>("PRAGMA user_version"), 1);
    for _ in 0..2 {
        schema::migrate_with(&mut connection, &log.path, &good).unwrap();
    }
    assert_eq!(log.ask::<i64>("SELECT sum(x + y) FROM a"), 3);
    assert_eq!(log.ask::<i64>("PRAGMA user_version"), 2);
}

#[test]
fn a_database_of_something_else_is_refused_and_left_alone() {
    let log = Log::new();
    log.execute("CREATE TABLE mine (x)").unwrap();
    assert!(matches!(
        Store::open(&log.path, NOW),
        Err(Error::Foreign { .. })
    ));
    assert!(matches!(
        Reader::open(&log.path),
        Err(Error::Foreign { .. })
    ));
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM sqlite_master"), 1);
    assert_ne!(log.ask::<String>("PRAGMA journal_mode"), "wal");
}

#[test]
fn a_file_that_is_no_database_is_an_error_and_left_alone() {
    let log = Log::new();
    std::fs::write(&log.path, vec![b'x'; 20_000]).unwrap();
    let error = Store::open(&log.path, NOW).unwrap_err();
    assert!(!error.is_transient() && error.hint().is_some(), "{error:?}");
    assert_eq!(std::fs::metadata(&log.path).unwrap().len(), 20_000);
    let nowhere = log.path.join("none.db");
    assert!(matches!(
        Store::open(&nowhere, NOW),
        Err(Error::Create { .. })
    ));
}

#[test]
fn somebody_who_holds_the_write_lock_is_a_transient_error() {
    let log = Log::new();
    let mut store = log.open();
    let other = Connection::open(&log.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.admit_all(&admission(1..=1, &["a"]), NOW).unwrap_err();
    assert!(error.is_transient() && !error.is_full(), "{error:?}");
    other.execute_batch("ROLLBACK").unwrap();
    store.admit_all(&admission(1..=1, &["a"]), NOW).unwrap();
}

#[test]
fn the_wal_starts_over_after_a_checkpoint_and_a_checkpoint_is_no_change() {
    let log = Log::new();
    let mut store = log.open();
    let mut checkpointer = Checkpointer::open(&log.path).unwrap();
    assert!(!store.changed().unwrap());
    for id in 1..=50 {
        store.admit_all(&admission(id..=id, &["a"]), NOW).unwrap();
    }
    let before = checkpointer.state().unwrap();
    assert!(before.pages > 100 && before.left > 100, "{before:?}");
    assert_eq!(checkpointer.passive().unwrap().left, 0);
    assert_eq!(store.checkpoint().unwrap().left, 0);
    store.admit_all(&admission(51..=51, &["a"]), NOW).unwrap();
    assert!(checkpointer.state().unwrap().pages < 50);
    assert!(!store.changed().unwrap());
    log.execute("DELETE FROM rejected").unwrap();
    log.execute("INSERT INTO rejected VALUES (NULL, 1, 1, 'e', 'r', 1)")
        .unwrap();
    assert!(store.changed().unwrap() && !store.changed().unwrap());
}

#[test]
fn the_store_may_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Store>();
    is_send::<Checkpointer>();
    is_send::<Reader>();
}

#[test]
fn a_synchronisation_covers_what_was_committed_unless_a_reader_prevents_it() {
    let log = Log::new();
    let mut store = log.open();
    let mut checkpointer = Checkpointer::open(&log.path).unwrap();
    store.admit_all(&admission(1..=1, &["a"]), NOW).unwrap();
    let done = checkpointer.synchronise().unwrap();
    assert!(done.durable && !done.restart, "{done:?}");
    // A reader that begins when all is copied reads the file itself, which may not be written then.
    let reader = Connection::open(&log.path).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM delivery")
        .unwrap();
    store.admit_all(&admission(2..=2, &["a"]), NOW).unwrap();
    assert!(!checkpointer.synchronise().unwrap().durable);
    reader.execute_batch("COMMIT").unwrap();
    assert!(checkpointer.synchronise().unwrap().durable);
}

#[test]
fn a_long_wal_is_one_to_start_over() {
    let log = Log::new();
    let mut store = log.open();
    let mut checkpointer = Checkpointer::open(&log.path).unwrap();
    let reader = Connection::open(&log.path).unwrap();
    store.admit_all(&admission(1..=1, &["a"]), NOW).unwrap();
    // Holds back the last of the WAL, as commits under load do.
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM delivery")
        .unwrap();
    let names: Vec<String> = (0..400).map(|n| format!("w{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut last = 1;
    while checkpointer.state().unwrap().pages < 4_096 {
        store
            .admit_all(&admission(last + 1..=last + 20, &names), NOW)
            .unwrap();
        last += 20;
    }
    let held = checkpointer.synchronise().unwrap();
    assert!(
        !held.restart,
        "a reader needs the old state: stopping the writer helps nobody: {held:?}"
    );
    reader.execute_batch("COMMIT").unwrap();
    let done = checkpointer.synchronise().unwrap();
    assert!(
        done.durable && done.state.left == 0 && !done.restart,
        "{done:?}"
    );
    store
        .admit_all(&admission(last + 1..=last + 1, &["a"]), NOW)
        .unwrap();
    assert!(checkpointer.state().unwrap().pages < 100, "it started over");
}

#[test]
fn what_was_committed_during_a_checkpoint_is_left_and_the_wal_starts_over_under_load() {
    /// Nearly every checkpoint ends while the writer commits, and on a slow machine few of them leave enough.
    const CHECKPOINTS: usize = 20_000;
    let log = Log::new();
    let mut store = log.open();
    let mut checkpointer = Checkpointer::open(&log.path).unwrap();
    checkpointer.bound(WalBounds {
        long: 64,
        little: 4_096,
        ..WalBounds::default()
    });
    let (stop, restart) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let (ended, asked): (_, Arc<AtomicBool>) = (stop.clone(), Arc::clone(&restart));
    let restarts = Arc::new(AtomicUsize::new(0));
    let counted = restarts.clone();
    let commits = Arc::new(AtomicUsize::new(0));
    let committed = commits.clone();
    let writer = std::thread::spawn(move || {
        for id in 1.. {
            store.admit_all(&admission(id..=id, &["a"]), NOW).unwrap();
            committed.fetch_add(1, Ordering::Relaxed);
            // Nobody commits meanwhile.
            if asked.swap(false, Ordering::Relaxed) {
                assert_eq!(store.checkpoint().unwrap().left, 0);
                counted.fetch_add(1, Ordering::Relaxed);
            }
            if ended.load(Ordering::Relaxed) {
                break;
            }
        }
    });
    let started_over = || restarts.load(Ordering::Relaxed) >= 5;
    let mut durable = 0;
    for _ in (0..CHECKPOINTS).take_while(|_| !started_over()) {
        let before = commits.load(Ordering::Relaxed);
        let done = checkpointer.synchronise().unwrap();
        // Where the WAL starts over in between, it may not be seen that it was.
        durable += usize::from(done.durable);
        // What was asked for and not done yet stays so: where others have the processor the writer comes late.
        restart.fetch_or(done.restart, Ordering::Relaxed);
        while commits.load(Ordering::Relaxed) == before && !writer.is_finished() {
            std::thread::yield_now();
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert!(started_over(), "{restarts:?} of {CHECKPOINTS}");
    assert!(durable >= 5, "{durable}");
}
