//! What every engine of a log answers: one story is written, then each question of [`LogReader`] is asked.
//!
//! The story goes by the words of the pipeline ([`LogWriter`]), and what is expected by what it has returned: ids are an
//! engine's own. Left out: how fast an answer comes, what a log of an earlier shape says, and what a damaged one does.

mod attempts;
mod deliveries;
mod orders;
mod story;
mod turns;
mod webhooks;

use std::collections::HashMap;

use super::engine::{Engine, admit};
use super::*;
use crate::model::{AttemptId, DeliveryId, Pause, ReplayId, TimeWindow, TurnRule};
pub(super) use story::{Story, asked, tell};

/// All of time.
const ALWAYS: TimeWindow = TimeWindow {
    from_ms: 0,
    to_ms: i64::MAX,
};

fn keeps_the_contract(new: impl Fn() -> Box<dyn Engine>) {
    an_empty_log_says_so(&*new());
    let log = new();
    let story = tell(&*log);
    let reader = log.reads();
    is_answered(&*reader, &story);
    attempts::a_commit_is_seen(&*log, &*reader, &story);
    turns::are_told(&*new());
}

/// Each question that changes nothing.
pub(super) fn is_answered(reader: &dyn LogReader, story: &Story) {
    attempts::are_found(reader, story);
    attempts::are_filtered(reader, story);
    attempts::are_followed(reader, story);
    deliveries::are_told(reader, story);
    deliveries::events_are_told(reader, story);
    deliveries::what_was_made_is_found(reader);
    deliveries::what_is_pending_is_counted(reader, story);
    webhooks::are_told(reader, story);
    webhooks::are_looked_at_closely(reader, story);
    orders::find_what_they_are_for(reader, story);
}

fn an_empty_log_says_so(log: &dyn Engine) {
    drop(log.open());
    let reader = log.reads();
    assert_eq!(reader.newest_id().unwrap(), AttemptId::NONE);
    assert_eq!(reader.log(9).unwrap(), []);
    assert!(reader.owners(&["w".into()]).unwrap().is_empty());
    assert_eq!(
        reader.newest(&LogFilter::default(), 9).unwrap(),
        Newest::default()
    );
    let after = reader.after(AttemptId::NONE, &LogFilter::default(), 9);
    assert_eq!(after.unwrap(), (Vec::new(), AttemptId::NONE));
    assert_eq!(reader.newest_time().unwrap(), None);
    assert_eq!(reader.oldest().unwrap(), None);
    assert_eq!(reader.attempts_since(0).unwrap(), (0, 0));
    assert_eq!(reader.cursor().unwrap(), EventId::new(0));
    assert_eq!(
        reader.event(EventId::new(1)).unwrap(),
        EventTrace::default()
    );
    assert_eq!(reader.pending().unwrap(), []);
    assert_eq!(reader.pending_in_all().unwrap(), Count::default());
    assert_eq!(reader.health(NOW).unwrap(), []);
    assert_eq!(reader.webhooks().unwrap(), []);
    assert_eq!(reader.last_failure().unwrap(), None);
    assert_eq!(reader.newest_delivery().unwrap(), DeliveryId::NONE);
    assert_eq!(reader.holding().unwrap(), []);
    let made = reader.made_for("a", &(EventId::new(1)..=EventId::new(9)));
    assert_eq!(made.unwrap(), MadeFor::default());
    let forgotten = reader.forgotten_up_to(Some(NOW), true);
    assert_eq!(forgotten.unwrap(), EventId::new(0));
}

#[test]
fn sqlite_keeps_the_contract() {
    keeps_the_contract(|| Box::new(Log::new()));
}

#[test]
fn postgresql_keeps_the_contract() {
    if let Some(server) = server::postgres() {
        keeps_the_contract(|| Box::new(server::ServerLog::new(server)));
    }
}
