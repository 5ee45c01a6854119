//! What our own writing does to a WAL that another program uses as well, and what is left of it.
//!
//! The other program is a second connection of this process: SQLite's locks on a WAL hold between
//! connections of one process as between processes.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::{MAX_DATA_BYTES, Outbox, app, insert, outbox};
use crate::model::{Clock, EventId, IdRange, Vfs};
use crate::outbox::wal::Keeper;
use crate::outbox::{
    Appender, Backfill, NewEvent, Pruned, Pruner, Tail, backfill, connect, create_if_missing,
};

/// From there on, and in the versions that it was brought back to, a checkpoint loses nothing beside
/// a commit that makes the WAL start over.
const MENDED: i32 = 3_051_003;

#[test]
fn the_sqlite_inside_is_none_whose_checkpoints_lose_commits() {
    assert!(
        rusqlite::version_number() >= MENDED,
        "{}",
        rusqlite::version()
    );
}

/// What a checkpoint says: whether somebody was in the way, pages in the WAL, and those copied.
const FIRST: IdRange<EventId> = IdRange {
    after: EventId::NONE,
    up_to: EventId::new(1),
};

type Said = (bool, i64, i64);

fn ask(app: &Connection, mode: &str) -> Said {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    app.query_row(&sql, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
}

/// An outbox whose WAL holds pages that are all in the file, so that the next commit starts it over.
fn copied_outbox() -> (Outbox, Connection) {
    let outbox = outbox();
    let app = app(&outbox.path);
    insert(&app);
    insert(&app);
    let (busy, pages, copied) = ask(&app, "PASSIVE");
    assert!(!busy && pages > 0 && pages == copied);
    (outbox, app)
}

fn event(data: String) -> NewEvent {
    NewEvent {
        event: "a".to_owned(),
        data,
        ..NewEvent::default()
    }
}

/// What tells one run of a WAL from the next: the first bytes of the file, with its salts.
fn run_of(path: &Path) -> Vec<u8> {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::read(wal).unwrap().into_iter().take(32).collect()
}

/// A checkpoint of the application's that is under way until its end of the channel is dropped.
fn checkpoint_under_way(path: &Path) -> (SyncSender<()>, JoinHandle<()>) {
    let writer = app(path);
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (begun, has_begun) = sync_channel(1);
    let (end, ended) = sync_channel::<()>(0);
    let mut checkpointer = app(path);
    let stay = move |_: i32| {
        begun.send(()).unwrap();
        ended.recv().ok();
        false
    };
    checkpointer.busy_handler(Some(stay)).unwrap();
    let thread = std::thread::spawn(move || {
        ask(&checkpointer, "FULL");
    });
    has_begun.recv().unwrap();
    writer.execute_batch("ROLLBACK").unwrap();
    (end, thread)
}

#[test]
fn beside_a_checkpoint_no_commit_makes_the_wal_start_over() {
    let (outbox, _app) = copied_outbox();
    let before = run_of(&outbox.path);
    let mut pruner = Pruner::open(&outbox.path, Vfs::default()).unwrap();
    let mut appender = Appender::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let (end, thread) = checkpoint_under_way(&outbox.path);
    assert_eq!(pruner.delete(FIRST, 10, || Ok(true)).unwrap(), Pruned::Busy);
    let appended = std::thread::spawn(move || appender.append(&[event("{}".into())]).unwrap());
    assert_eq!(pruner.delete(FIRST, 10, || Ok(true)).unwrap(), Pruned::Busy);
    assert_eq!(run_of(&outbox.path), before);
    assert!(!appended.is_finished());
    drop(end);
    thread.join().unwrap();
    assert_eq!(appended.join().unwrap().len(), 1);
    let pruned = pruner.delete(FIRST, 10, || Ok(true)).unwrap();
    assert!(
        matches!(&pruned, Pruned::Rows(chunk) if chunk.deleted == 1),
        "{pruned:?}"
    );
    assert_ne!(run_of(&outbox.path), before);
}

#[test]
fn beside_a_checkpoint_of_a_wal_that_goes_on_commits_do_too() {
    let (outbox, app) = copied_outbox();
    insert(&app);
    let mut appender = Appender::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let (end, thread) = checkpoint_under_way(&outbox.path);
    assert_eq!(appender.append(&[event("{}".into())]).unwrap().len(), 1);
    drop(end);
    thread.join().unwrap();
}

#[test]
fn no_checkpoint_begins_from_a_transaction_s_start_to_the_release() {
    let (outbox, app) = copied_outbox();
    let writer = connect::to_write(&outbox.path, Vfs::default()).unwrap();
    let mut keeper = Keeper::open(&outbox.path, Vfs::default()).unwrap();
    for _ in 0..3 {
        let transaction = keeper.begin(&writer, 1).unwrap();
        insert(&transaction);
        assert_eq!(ask(&app, "PASSIVE"), (true, -1, -1), "it began");
        transaction.commit().unwrap();
        assert_eq!(ask(&app, "PASSIVE"), (true, -1, -1), "it began");
        keeper.release();
        // What was committed was not copied along the way, or each commit would have to do this.
        let (busy, pages, copied) = ask(&app, "NOOP");
        assert!(!busy && pages > 0 && copied == 0, "{pages} {copied}");
        let (busy, pages, copied) = ask(&app, "PASSIVE");
        assert!(!busy && pages == copied);
    }
    // A transaction that is given up, and one that never was released.
    drop(keeper.begin(&writer, 1).unwrap());
    drop(keeper.begin(&writer, 1).unwrap());
    drop(keeper);
    assert!(!ask(&app, "PASSIVE").0);
}

#[test]
fn a_commit_of_ours_copies_only_a_wal_that_nobody_else_does() {
    let outbox = outbox();
    let app = app(&outbox.path);
    let mut appender = Appender::open(&outbox.path, 1 << 20).unwrap();
    let mut copied_at = Vec::new();
    for _ in 0..12 {
        // Some 500 pages, in a transaction that is written in parts.
        let data = format!("\"{}\"", "x".repeat(1 << 18));
        appender.append(&vec![event(data); 8]).unwrap();
        let (_, pages, copied) = ask(&app, "NOOP");
        if copied == pages {
            copied_at.push(pages);
        }
    }
    let [pages] = copied_at.as_slice() else {
        panic!("{copied_at:?}")
    };
    assert!((4_000..6_000).contains(pages), "{pages}");
}

/// How many rows the file alone has, as who copies it finds.
fn rows_of_a_copy(path: &Path) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    std::fs::copy(path, &copy).unwrap();
    let count = "SELECT count(*) FROM outbox";
    app(&copy).query_row(count, (), |row| row.get(0)).unwrap()
}

#[test]
fn what_an_application_left_is_copied_into_its_file_beside_our_reading() {
    let outbox = outbox();
    let tail = Tail::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let app = app(&outbox.path);
    let reader = self::app(&outbox.path);
    insert(&app);
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM outbox")
        .unwrap();
    insert(&app);
    assert_eq!(rows_of_a_copy(&outbox.path), 0);
    assert!(
        !backfill(&outbox.path).unwrap(),
        "a reader needs the old state"
    );
    drop((app, reader));
    assert!(backfill(&outbox.path).unwrap());
    assert_eq!(rows_of_a_copy(&outbox.path), 2);
    let wal = outbox.path.with_extension("db-wal");
    assert!(wal.exists());
    drop(tail);
    assert!(backfill(&outbox.path).unwrap());
    assert!(!wal.exists(), "the last one takes the WAL along");
    assert!(backfill(&outbox.path).unwrap());
    assert!(!wal.exists(), "none is made");
}

#[test]
fn a_database_without_a_wal_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    create_if_missing(&path).unwrap();
    let app = app(&path);
    app.pragma_update(None, "journal_mode", "PERSIST").unwrap();
    insert(&app);
    app.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert!(backfill(&path).unwrap());
    app.execute_batch("COMMIT").unwrap();
    let mut appender = Appender::open(&path, MAX_DATA_BYTES).unwrap();
    assert_eq!(appender.append(&[event("{}".into())]).unwrap().len(), 1);
    // And if the application changes over while the connections are open.
    app.pragma_update(None, "journal_mode", "WAL").unwrap();
    insert(&app);
    let (_, pages, copied) = ask(&app, "PASSIVE");
    assert!(pages > 0 && pages == copied);
    let (end, thread) = checkpoint_under_way(&path);
    let appended = std::thread::spawn(move || appender.append(&[event("{}".into())]).unwrap());
    let mut pruner = Pruner::open(&path, Vfs::default()).unwrap();
    assert_eq!(pruner.delete(FIRST, 1, || Ok(true)).unwrap(), Pruned::Busy);
    assert!(!appended.is_finished());
    drop(end);
    thread.join().unwrap();
    assert_eq!(appended.join().unwrap().len(), 1);
}

#[test]
fn it_is_copied_once_the_outbox_is_left_alone() {
    let outbox = outbox();
    let app = app(&outbox.path);
    insert(&app);
    let begun = Clock::system().instant().into_std();
    let after = |ms| begun + Duration::from_millis(ms);
    let mut it = Backfill::new(&outbox.path, begun);
    it.look(after(500));
    it.touch(after(500));
    it.look(after(1_000));
    it.end();
    assert_eq!(
        rows_of_a_copy(&outbox.path),
        0,
        "somebody committed just now"
    );
    let mut it = Backfill::new(&outbox.path, begun);
    it.look(after(1_000));
    it.end();
    assert_eq!(rows_of_a_copy(&outbox.path), 1);
}
