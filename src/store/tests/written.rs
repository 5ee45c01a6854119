//! What every engine of a log does with what is written: each call of [`LogWriter`] and what is left of it, also after
//! the log was opened anew.
//!
//! What came of a call is asked by [`LogReader`] or by the writer itself, and ids are an engine's own: no test here
//! knows a table. Left out: rows that a hand has written, logs of an earlier shape, and what is on disk when.

mod admitted;
mod ordered;
mod queued;
mod recorded;
mod retained;
mod told;

use super::engine::{self, Engine};
use super::*;
use crate::model::DeliveryId;

/// Takes a batch in with nothing put off, and nothing in memory's hands.
fn admit(log: &mut dyn LogWriter, admission: &Admission) -> Vec<Due> {
    engine::admit(log, admission, NOW)
}

/// All that is due by then.
fn due_by(log: &mut dyn LogWriter, webhook: &str, now_ms: i64) -> Vec<Due> {
    log.due(webhook, now_ms, 1_000, usize::MAX, &|_| false)
        .unwrap()
}

fn ids(dues: &[Due]) -> Vec<DeliveryId> {
    dues.iter().map(|due| due.id).collect()
}

/// A delivery's state, its attempts, when it is due and when it ended; nothing where it is gone.
fn told(log: &dyn Engine, id: DeliveryId) -> Option<(String, i64, Option<i64>, Option<i64>)> {
    let row = log.reads().delivery(id).unwrap()?;
    let times = (row.due_at_ms, row.finished_at_ms);
    Some((row.state, row.attempts, times.0, times.1))
}

fn state(log: &dyn Engine, id: DeliveryId) -> String {
    told(log, id).map_or_else(|| "gone".to_owned(), |told| told.0)
}

/// Each clause is a test of each engine, on a log of its own.
macro_rules! contract {
    ($($part:ident { $($clause:ident)* })*) => {
        mod sqlite {
            $(mod $part {
                use crate::store::tests::{Log, written};
                $(#[test]
                fn $clause() {
                    written::$part::$clause(&Log::new());
                })*
            })*
        }
        mod postgresql {
            $(mod $part {
                use crate::store::tests::{server, written};
                $(#[test]
                fn $clause() {
                    if let Some(on) = server::postgres() {
                        written::$part::$clause(&server::ServerLog::new(on));
                    }
                })*
            })*
        }
    };
}

contract! {
    admitted {
        once_with_the_cursor
        or_nothing_of_it
        with_its_gaps_and_what_is_set_aside
        later_where_it_is_owed
    }
    queued {
        in_the_order_of_their_times
        in_memory_until_it_is_let_go_of
        no_longer_than_the_clock_allows
        until_their_webhook_is_gone
    }
    recorded {
        by_each_verdict
        late_where_it_has_ended
        with_the_time_that_its_endpoint_asked_for
    }
    ordered {
        to_be_sent_again
        to_be_cancelled
        to_be_replayed
        to_be_paused
        to_be_tried
    }
    retained {
        while_it_is_pending
        as_its_roll_up_by_days
    }
    told {
        of_what_was_given_up
        of_each_pause_once
        by_a_webhook_that_pauses_itself
        by_a_hand
    }
}
