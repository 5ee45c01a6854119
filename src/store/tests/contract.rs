//! What every engine of a log answers: one story is written, then each question of [`LogReader`] is asked.
//!
//! The story goes by the words of the pipeline ([`Writes`]), and what is expected by what it has returned: ids are an
//! engine's own. Left out: how fast an answer comes, what a log of an earlier shape says, and what a damaged one does.

mod attempts;
mod deliveries;
mod orders;
mod server;
mod story;
mod turns;
mod webhooks;

use std::collections::HashMap;

use super::*;
use crate::model::{AttemptId, DeliveryId, Pause, ReplayId, TimeWindow, TurnRule};
use story::Story;

/// A log of its own, in some engine.
trait Engine {
    fn writes(&self) -> Box<dyn Writes>;
    fn reads(&self) -> Box<dyn LogReader>;
}

/// What writes a story.
trait Writes {
    fn register(&mut self, webhooks: &[(Arc<str>, bool)], now_ms: i64);
    fn keep_order(&mut self, rules: HashMap<Arc<str>, TurnRule>);
    fn admit(&mut self, admission: &Admission, now_ms: i64) -> Vec<Due>;
    fn record(&mut self, attempts: &[Attempt]);
    fn redeliver(&mut self, id: DeliveryId) -> DeliveryId;
    fn cancel_by_order(&mut self, id: DeliveryId, now_ms: i64);
    fn cancel(&mut self, webhook: &str, now_ms: i64);
    fn set_aside(&mut self, row: Rejected, now_ms: i64);
    fn pause(&mut self, pause: &Pause);
    fn begin_replay(&mut self, replay: &Replay, now_ms: i64) -> ReplayId;
    fn mark(&mut self, now_ms: i64);
    fn flush(&mut self, now_ms: i64);
}

impl Engine for Log {
    fn writes(&self) -> Box<dyn Writes> {
        Box::new(self.open())
    }

    fn reads(&self) -> Box<dyn LogReader> {
        read_log(&self.path).unwrap()
    }
}

impl Writes for Store {
    fn register(&mut self, webhooks: &[(Arc<str>, bool)], now_ms: i64) {
        Self::register(self, webhooks, now_ms).unwrap();
    }

    fn keep_order(&mut self, rules: HashMap<Arc<str>, TurnRule>) {
        Self::keep_order(self, rules).unwrap();
    }

    fn admit(&mut self, admission: &Admission, now_ms: i64) -> Vec<Due> {
        self.admit_all(admission, now_ms).unwrap()
    }

    fn record(&mut self, attempts: &[Attempt]) {
        Self::record(self, attempts).unwrap();
    }

    fn redeliver(&mut self, id: DeliveryId) -> DeliveryId {
        let answers = Self::redeliver(self, &[id], &|_| true).unwrap();
        answers.into_iter().next().unwrap().unwrap().0
    }

    fn cancel_by_order(&mut self, id: DeliveryId, now_ms: i64) {
        let answers = Self::cancel_by_order(self, &[id], now_ms, &|_, _| false).unwrap();
        assert!(answers[0].is_ok());
    }

    fn cancel(&mut self, webhook: &str, now_ms: i64) {
        assert_eq!(
            Self::cancel(self, webhook, 99, now_ms, &|_, _| false).unwrap(),
            1
        );
    }

    fn set_aside(&mut self, row: Rejected, now_ms: i64) {
        Self::set_aside(self, Generation::new(3), &[row], false, now_ms).unwrap();
    }

    fn pause(&mut self, pause: &Pause) {
        Self::pause(self, pause).unwrap();
    }

    fn begin_replay(&mut self, replay: &Replay, now_ms: i64) -> ReplayId {
        Self::begin_replay(self, replay, now_ms).unwrap()
    }

    fn mark(&mut self, now_ms: i64) {
        assert!(Self::mark(self, now_ms).unwrap());
    }

    fn flush(&mut self, now_ms: i64) {
        Self::flush(self, now_ms).unwrap();
    }
}

/// All of time.
const ALWAYS: TimeWindow = TimeWindow {
    from_ms: 0,
    to_ms: i64::MAX,
};

fn keeps_the_contract(new: impl Fn() -> Box<dyn Engine>) {
    an_empty_log_says_so(&*new());
    let log = new();
    let story = story::tell(&*log);
    let reader = log.reads();
    attempts::are_found(&*reader, &story);
    attempts::are_filtered(&*reader, &story);
    attempts::are_followed(&*reader, &story);
    deliveries::are_told(&*reader, &story);
    deliveries::events_are_told(&*reader, &story);
    deliveries::what_was_made_is_found(&*reader);
    deliveries::what_is_pending_is_counted(&*reader, &story);
    webhooks::are_told(&*reader, &story);
    webhooks::are_looked_at_closely(&*reader, &story);
    orders::find_what_they_are_for(&*reader, &story);
    attempts::a_commit_is_seen(&*log, &*reader, &story);
    turns::are_told(&*new());
}

fn an_empty_log_says_so(log: &dyn Engine) {
    drop(log.writes());
    let reader = log.reads();
    assert_eq!(reader.newest_id().unwrap(), AttemptId::NONE);
    assert_eq!(reader.log(9).unwrap(), []);
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
        keeps_the_contract(|| Box::new(server::Log::new(server)));
    }
}
