//! Whether a follower sees each commit once, in order, and soon.
//!
//! The follower is the loop of [`Burst`]'s documentation on a thread of its own. The trickle tests
//! commit a row only after the one before was seen: a follower that needs the next event to see a
//! row would wait for the slow poll each time.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{BARE, MAX_DATA_BYTES, Outbox, app, database, ids, insert, outbox};
use crate::model::{Clock, EventId};
use crate::outbox::{Burst, Error, Tail, Wake, Waker, Watch};

/// As long as the longest gap of a burst: what takes longer is the slow poll.
const SLOW: Duration = Duration::from_millis(26);

/// A commit that takes longer, with its fsync, may outlast the burst behind its event.
const QUICK: Duration = Duration::from_millis(25);

/// The end of all patience.
const BOUND: Duration = Duration::from_secs(30);

/// An id, and whether only the slow poll saw it.
type Seen = (i64, bool);

/// A thread that follows an outbox and reports the ids it sees; ends when it is dropped.
struct Follower {
    seen: Receiver<Seen>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    fn start(path: &Path) -> Self {
        let tail = Tail::open(path, MAX_DATA_BYTES).unwrap();
        let (watch, waker) = Watch::new(path).unwrap();
        let (report, seen) = channel();
        let thread = Some(std::thread::spawn(move || follow(tail, watch, &report)));
        Self {
            seen,
            waker,
            thread,
        }
    }

    fn next(&self) -> i64 {
        self.seen.recv_timeout(BOUND).unwrap().0
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.waker.wake();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn follow(mut tail: Tail, mut watch: Watch, report: &Sender<Seen>) {
    let mut burst = Burst::new(watch.is_blind());
    let (mut last, mut polled) = (0, false);
    loop {
        match take_in(&mut tail, &mut last, |id| {
            report.send((id, polled)).unwrap();
        }) {
            Ok(()) => {}
            Err(error) => assert!(error.is_busy(), "{error:?}"),
        }
        let gap = burst.gap();
        match watch.wait(gap).unwrap() {
            Wake::File => burst.restart(),
            Wake::Quiet => burst.advance(),
            Wake::Woken => return,
        }
        polled = gap >= SLOW && burst.gap() >= SLOW;
    }
}

fn take_in(tail: &mut Tail, last: &mut i64, report: impl Fn(i64)) -> Result<(), Error> {
    let mut more = tail.changed()?;
    while more {
        let batch = tail.read(EventId::new(*last), 100, 100_000)?;
        for id in ids(&batch.rows) {
            *last = id;
            report(id);
        }
        more = batch.more;
    }
    Ok(())
}

/// Commits `rows` rows one by one, each after the one before was seen, and asserts that nearly all
/// were seen in the burst behind their event: a stall of the machine may outlast that of one or two.
fn trickle(outbox: &Outbox, rows: usize, reopen_every: usize, set_up: &str) {
    let open = || {
        let app = app(&outbox.path);
        app.execute_batch(set_up).unwrap();
        app
    };
    let mut connection = Some(open());
    let follower = Follower::start(&outbox.path);
    let mut late = 0;
    for row in 0..rows {
        if row % reopen_every == 0 {
            connection.take().unwrap().close().unwrap();
            connection = Some(open());
        }
        let begun = Clock::system().instant();
        let id = insert(connection.as_ref().unwrap());
        let quick = begun.elapsed() < QUICK;
        let (seen, polled) = follower.seen.recv_timeout(BOUND).unwrap();
        assert_eq!(seen, id);
        late += usize::from(polled && quick);
    }
    assert!(late <= 2, "{late} of {rows} rows were late");
}

#[test]
fn in_wal_mode_each_row_is_seen_without_the_next() {
    trickle(&outbox(), 20, 100, "PRAGMA synchronous = FULL");
    trickle(&outbox(), 20, 100, "PRAGMA synchronous = NORMAL");
}

#[test]
fn in_rollback_mode_each_row_is_seen_without_the_next() {
    for mode in ["DELETE", "TRUNCATE", "PERSIST"] {
        let set_up = format!("PRAGMA journal_mode = {mode}");
        trickle(&database(&format!("{set_up}; {BARE}")), 20, 100, &set_up);
    }
}

#[test]
fn an_application_that_closes_and_opens_again_is_followed() {
    trickle(&outbox(), 20, 3, "");
    trickle(&database(BARE), 20, 3, "");
}

#[test]
fn a_companion_that_the_first_commit_makes_is_noticed() {
    let outbox = outbox();
    let follower = Follower::start(&outbox.path);
    let connection = app(&outbox.path);
    for _ in 0..3 {
        let id = insert(&connection);
        assert_eq!(follower.next(), id);
    }
}

#[test]
fn an_application_that_changes_to_wal_is_followed() {
    let outbox = database(BARE);
    let connection = app(&outbox.path);
    let follower = Follower::start(&outbox.path);
    let first = insert(&connection);
    assert_eq!(follower.next(), first);
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
    for _ in 0..3 {
        let id = insert(&connection);
        assert_eq!(follower.next(), id);
    }
}

/// Two writers at full speed, with checkpoints between their commits.
fn storm(outbox: &Outbox, rows: usize) {
    let follower = Follower::start(&outbox.path);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let app = app(&outbox.path);
                app.execute_batch("PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 20")
                    .unwrap();
                for _ in 0..rows {
                    insert(&app);
                }
            });
        }
        let expected = i64::try_from(2 * rows).unwrap();
        for id in 1..=expected {
            assert_eq!(follower.next(), id);
        }
    });
}

#[test]
fn no_row_of_two_writers_is_missed_or_seen_twice() {
    storm(&outbox(), 1_000);
    storm(
        &database(&format!("PRAGMA journal_mode = DELETE; {BARE}")),
        200,
    );
}
