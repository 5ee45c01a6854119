//! A machine's log that a server's takes over: all questions are answered as before, and work goes on where it was.

use std::collections::HashMap;

use super::contract::{self, Story};
use super::engine::{Engine, admit};
use super::server::{ServerLog, postgres};
use super::*;
use crate::model::{
    Announce, Deferred, DeliveryId, Fact, LogId, LogPlace, Pause, Trigger, Turn, TurnRule,
};

fn over(from: &Log, to: &ServerLog) -> Result<TakenOver, Error> {
    take_over(&from.path, &to.server, NOW + 8_000, &mut |_, _| ())
}

#[test]
fn the_story_of_a_log_that_was_taken_over_is_the_same() {
    let Some(on) = postgres() else { return };
    let (from, to) = (Log::new(), ServerLog::new(on));
    let story: Story = contract::tell(&from);
    let taken = over(&from, &to).unwrap();
    let before = read_log(&LogPlace::File(from.path.clone())).unwrap();
    assert_eq!(taken.attempts, 5);
    let pending = before.pending_in_all().unwrap().count;
    assert_eq!(i64::try_from(taken.pending).unwrap(), pending);
    contract::is_answered(&*to.reads(), &story);
    let error = over(&from, &to).unwrap_err();
    assert!(error.to_string().ends_with("is not empty"), "{error}");
    assert!(!error.may_pass());
    contract::is_answered(&*to.reads(), &story);
}

/// Has both tell the same of everything.
fn tell_the_same(from: &dyn LogReader, to: &dyn LogReader) {
    let rows = from.log(999).unwrap();
    assert_eq!(to.log(999).unwrap(), rows);
    for row in &rows {
        let text = |log: &dyn LogReader| log.attempt_text(row.id).unwrap().unwrap();
        assert_eq!(text(to), text(from));
    }
    for id in 0..=from.newest_delivery().unwrap().get() + 1 {
        let id = DeliveryId::new(id);
        assert_eq!(to.delivery(id).unwrap(), from.delivery(id).unwrap());
        assert_eq!(
            to.was_sent_again(id).unwrap(),
            from.was_sent_again(id).unwrap()
        );
        assert_eq!(to.held_by(id).unwrap(), from.held_by(id).unwrap());
    }
    assert_eq!(
        to.newest_delivery().unwrap(),
        from.newest_delivery().unwrap()
    );
    assert_eq!(to.pending().unwrap(), from.pending().unwrap());
    assert_eq!(to.webhooks().unwrap(), from.webhooks().unwrap());
    assert_eq!(to.health(NOW).unwrap(), from.health(NOW).unwrap());
    assert_eq!(
        to.set_aside_since(0).unwrap(),
        from.set_aside_since(0).unwrap()
    );
    let forgotten = |log: &dyn LogReader| log.forgotten_up_to(None, true).unwrap();
    assert_eq!(forgotten(to), forgotten(from));
}

#[test]
fn what_is_in_tables_of_an_earlier_shape_is_taken_over_too() {
    let Some(on) = postgres() else { return };
    let (from, to) = (shapes::before(), ServerLog::new(on));
    let taken = over(&from, &to).unwrap();
    let before = read_log(&LogPlace::File(from.path.clone())).unwrap();
    assert!(taken.attempts > 2 && taken.pending > 0, "{taken:?}");
    tell_the_same(&*before, &*to.reads());
}

/// Tells of all to one webhook.
struct All;

impl Announce for All {
    fn announce(&self, fact: &Fact, id: EventId, _now_ms: i64) -> Option<FanOut> {
        let mut event = admission(1..=1, &["ops"]).events.remove(0);
        (event.event_id, event.event) = (id, fact.name().into());
        Some(event)
    }
}

/// What the next process would find.
#[derive(Debug, PartialEq)]
struct Found {
    id: LogId,
    due: Vec<Due>,
    held: HashMap<String, i64>,
    pauses: Vec<Pause>,
    replay: Option<Replay>,
    cursor: Option<Cursor>,
    gaps: Vec<std::ops::RangeInclusive<EventId>>,
    owed: Vec<Deferred>,
    mark: Option<(Generation, EventId)>,
    states: Vec<(String, i64)>,
    attempts: i64,
}

fn found(log: &mut dyn LogWriter) -> Found {
    let webhooks = log.pending_webhooks().unwrap();
    let mut due = Vec::new();
    for webhook in webhooks {
        due.extend(
            log.due(&webhook, i64::MAX - 1, 99, usize::MAX, &|_| false)
                .unwrap(),
        );
    }
    Found {
        id: log.log_id(),
        due,
        held: log.held(NOW).unwrap(),
        pauses: log.pauses().unwrap(),
        replay: log.unfinished_replay().unwrap(),
        cursor: log.cursor().unwrap(),
        gaps: log.gaps().unwrap(),
        owed: log.owed(99).unwrap(),
        mark: log.outbox_mark(i64::MAX).unwrap(),
        states: log.states().unwrap(),
        attempts: log.attempts().unwrap(),
    }
}

#[test]
fn what_is_pending_goes_on_where_it_was_and_no_id_is_given_again() {
    let Some(on) = postgres() else { return };
    let (from, to) = (Log::new(), ServerLog::new(on));
    let mut log = Engine::open(&from);
    let (ids, newest) = written(&mut *log);
    let before = found(&mut *log);
    assert!(before.owed.len() == 1 && before.gaps.len() == 1 && before.replay.is_some());
    drop(log);
    let taken = over(&from, &to).unwrap();
    assert_eq!(i64::try_from(taken.attempts).unwrap(), before.attempts);
    tell_the_same(
        &*read_log(&LogPlace::File(from.path.clone())).unwrap(),
        &*to.reads(),
    );
    let mut log = to.open();
    log.keep_order(rules()).unwrap();
    assert_eq!(found(&mut *log), before);
    // The line goes on: what waits there waits, until what holds it is let go of.
    let line = |log: &mut dyn LogWriter| log.due("line", NOW, 9, usize::MAX, &|_| false).unwrap();
    assert!(line(&mut *log).is_empty());
    let answers = log.cancel_by_order(&ids[..1], NOW, &|_, _| false).unwrap();
    assert!(answers[0].is_ok(), "{answers:?}");
    let next = line(&mut *log);
    assert_eq!(next.iter().map(|due| due.id).collect::<Vec<_>>(), ids[1..]);
    log.record(&[attempt(&next[0], NOW, Verdict::Delivered)])
        .unwrap();
    // What was owed is made, and what comes gets ids of its own, of all kinds.
    let owed = log.owed(9).unwrap();
    let paid = log.materialize(&owed, &mut |_| false, NOW).unwrap();
    assert!(paid.iter().all(|due| due.id > newest));
    assert!(admit(&mut *log, &admission(50..=50, &["a"]), NOW)[0].id > newest);
    assert!(log.next_test_id(NOW).unwrap() > EventId::new(NOW));
    log.announce_by(Some(Arc::new(All)));
    log.resume("a", NOW).unwrap();
    assert_eq!(
        log.take_announced(),
        ["ops".into()],
        "it was told of before"
    );
    assert_eq!(log.redeliver(&[next[0].id], &|_| true).unwrap().len(), 1);
}

fn rules() -> HashMap<Arc<str>, TurnRule> {
    let rule = TurnRule {
        holds: true,
        together: None,
    };
    [("line".into(), rule)].into()
}

/// A log that has something of each kind. Returns what stands in one line, and the newest delivery.
fn written(log: &mut dyn LogWriter) -> (Vec<DeliveryId>, DeliveryId) {
    let names = ["a", "line", "slow", "ops"].map(|name| (name.into(), true));
    log.register(&names, NOW - 10).unwrap();
    log.know_dialects(&[("slow".into(), Dialect::StandardWebhooks)])
        .unwrap();
    log.keep_order(rules()).unwrap();
    log.ask_for_own(true).unwrap();
    log.announce_by(Some(Arc::new(All)));
    log.pause_by_themselves([("slow".into(), 1)].into())
        .unwrap();
    let mut first = admission(1..=2, &["a", "line"]);
    for event in &mut first.events {
        event.turns = vec![(1, Turn::of_text(b"x"))];
    }
    first.gaps = vec![EventId::new(40)..=EventId::new(41)];
    let made = admit(log, &first, NOW);
    let of_line = made
        .iter()
        .find(|due| &*due.webhook == "line")
        .unwrap()
        .clone();
    let of_a = made.iter().find(|due| &*due.webhook == "a").unwrap();
    log.record(&[
        attempt(&of_line, NOW, Verdict::Failed),
        Attempt {
            held_until_ms: Some(NOW + 7_000),
            ..attempt(of_a, NOW, Verdict::RetryAt(NOW + 9_000))
        },
    ])
    .unwrap();
    let late = |webhook: &str| webhook == "slow";
    let (_, owed) = log
        .admit(&admission(42..=42, &["slow"]), &late, &mut |_| false, NOW)
        .unwrap();
    assert_eq!(owed.len(), 1);
    let tried = admission(43..=43, &["slow"]);
    let tried = log.add(
        Generation::new(3),
        &tried.events,
        Trigger::Test,
        &mut |_| true,
        NOW,
    );
    let tried = tried.unwrap().remove(0);
    for n in 0..21 {
        let retry = Verdict::RetryAt(NOW + n + 1);
        log.record(&[attempt(&tried, NOW + n, retry)]).unwrap();
    }
    log.pause(&Pause {
        webhook: "a".into(),
        since_ms: NOW,
        until_ms: None,
        reason: Some("a\u{e4}".into()),
        next_try_ms: None,
    })
    .unwrap();
    log.begin_replay(&contract::asked(), NOW).unwrap();
    log.next_test_id(NOW).unwrap();
    log.mark(NOW + 1).unwrap();
    let again = log.due("line", i64::MAX - 1, 9, usize::MAX, &|_| false);
    assert_eq!(again.unwrap(), [], "one holds the other back");
    let newest = [made, vec![tried]].concat().iter().map(|due| due.id).max();
    let waits = log.states().unwrap();
    assert!(!waits.is_empty());
    let next = DeliveryId::new(of_line.id.get() + 2);
    (vec![of_line.id, next], newest.unwrap().max(next))
}

#[test]
fn a_log_that_is_not_there_or_a_server_that_is_not_is_said_so() {
    let Some(on) = postgres() else { return };
    let (from, to) = (Log::new(), ServerLog::new(on));
    assert!(over(&from, &to).is_err());
    assert!(!from.path.exists(), "none is made");
    drop(Engine::open(&from));
    let taken = over(&from, &to).unwrap();
    assert_eq!(taken, TakenOver::default());
    assert_eq!(to.open().cursor().unwrap(), None);
}
