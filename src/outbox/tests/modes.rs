//! That each journal mode's commits are told of by the files, and not found by the slow poll.

use std::time::Duration;

use super::{BARE, MAX_DATA_BYTES, app, database, insert};
use crate::model::EventId;
use crate::outbox::{Burst, Tail, Wake, Watch};

/// Far more than an event takes; it is waited for, so nothing depends on it.
const LONG: Duration = Duration::from_secs(60);

/// As long as the longest gap of a burst: what takes longer is the slow poll.
const SLOW: Duration = Duration::from_millis(26);

#[test]
fn every_mode_s_commit_is_seen_in_the_burst_behind_its_event() {
    for mode in ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF", "WAL"] {
        let outbox = database(BARE);
        let app = app(&outbox.path);
        app.pragma_update(None, "journal_mode", mode).unwrap();
        // PERSIST leaves a journal from its first transaction on.
        insert(&app);
        let mut tail = Tail::open(&outbox.path, MAX_DATA_BYTES).unwrap();
        let (mut watch, _waker) = Watch::new(&outbox.path).unwrap();
        let (mut last, mut burst) = (1, Burst::new(false));
        tail.changed().unwrap();
        assert_eq!(tail.read(EventId::NONE, 10, 1_000).unwrap().rows.len(), 1);
        for id in 2..5 {
            assert_eq!(insert(&app), id);
            assert_eq!(watch.wait(LONG).unwrap(), Wake::File, "{mode}: no event");
            burst.restart();
            while last < id {
                assert!(
                    burst.gap() < SLOW,
                    "{mode}: only the slow poll would see {id}"
                );
                if !tail.being_written() && tail.changed().unwrap() {
                    let batch = tail.read(EventId::new(last), 10, 1_000).unwrap();
                    last += i64::try_from(batch.rows.len()).unwrap();
                }
                if watch.wait(burst.gap()).unwrap() == Wake::Quiet {
                    burst.advance();
                }
            }
        }
        app.execute_batch("BEGIN; INSERT INTO outbox (event) VALUES (1)")
            .unwrap();
        let has_journal = ["DELETE", "TRUNCATE", "PERSIST"].contains(&mode);
        assert_eq!(tail.being_written(), has_journal, "{mode}");
    }
}
