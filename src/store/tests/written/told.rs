//! Pauses that webhooks make themselves or people by hand, and the events of webhooksd itself.

use super::*;
use crate::model::{Announce, Fact, Pause};

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;

/// Has all of them go to one webhook, with a body that says what it was asked for.
struct All;

impl Announce for All {
    fn announce(&self, fact: &Fact, id: EventId, _now_ms: i64) -> Option<FanOut> {
        Some(FanOut {
            event_id: id,
            event: fact.name().into(),
            message: None,
            bodies: vec![(Dialect::BoldCms, format!("\"{fact:?}\"").into())],
            webhooks: vec![("ops".into(), 0)],
            turns: Vec::new(),
            tenant: None,
        })
    }
}

fn asking(engine: &dyn Engine) -> Box<dyn LogWriter> {
    let mut log = engine.open();
    log.register(&[("a".into(), true), ("ops".into(), true)], NOW)
        .unwrap();
    log.ask_for_own(true).unwrap();
    log.announce_by(Some(Arc::new(All)));
    log
}

/// What was told so far: names and bodies.
fn told(log: &mut dyn LogWriter) -> Vec<(String, String)> {
    let text = |due: Due| {
        (
            due.event.to_string(),
            String::from_utf8_lossy(&due.body).into(),
        )
    };
    due_by(log, "ops", i64::MAX).into_iter().map(text).collect()
}

fn names(log: &mut dyn LogWriter) -> Vec<String> {
    told(log).into_iter().map(|(name, _)| name).collect()
}

pub(super) fn of_what_was_given_up(engine: &dyn Engine) {
    let mut log = asking(engine);
    let mut batch = admission(1..=3, &["a"]);
    batch.events[0].tenant = Some("acme".into());
    batch.rejected = vec![Rejected {
        event_id: EventId::new(9),
        event: "gone".into(),
        reason: "no JSON".into(),
        time_ms: NOW,
        tenant: None,
    }];
    let made = admit(&mut *log, &batch);
    assert_eq!(names(&mut *log), ["webhooksd.event.rejected"]);
    let failed = attempt(&made[0], NOW, Verdict::Failed);
    let again = attempt(&made[1], NOW, Verdict::RetryAt(NOW + 9));
    let done = attempt(&made[2], NOW, Verdict::Delivered);
    log.record(&[failed.clone(), again, done]).unwrap();
    let all = told(&mut *log);
    assert_eq!(all.len(), 2, "{all:?}");
    let (name, body) = &all[1];
    assert_eq!(name, "webhooksd.delivery.failed");
    assert!(body.contains("acme") && body.contains("refused"), "{body}");
    assert_eq!(log.take_announced(), ["ops".into()]);
    assert!(log.take_announced().is_empty());
    // It was given up already; and of those that tell none is told.
    log.record(&[failed]).unwrap();
    let own = due_by(&mut *log, "ops", i64::MAX);
    assert!(own.iter().all(|due| due.event_id.get() > 1 << 52));
    let up = attempt(&own[1], NOW + HOUR, Verdict::Failed);
    log.record(&[up]).unwrap();
    assert_eq!(names(&mut *log).len(), 1);
}

pub(super) fn of_each_pause_once(engine: &dyn Engine) {
    let mut log = asking(engine);
    let pause = Pause {
        webhook: "a".into(),
        since_ms: NOW,
        until_ms: Some(NOW + HOUR),
        reason: None,
        next_try_ms: None,
    };
    log.pause(&pause).unwrap();
    log.tell_pauses(NOW + 1).unwrap();
    assert_eq!(names(&mut *log), ["webhooksd.webhook.paused"]);
    // By hand, while nobody runs; one that is over by the next start was none.
    drop(log);
    let by_hand = format!(
        "DELETE FROM pause; INSERT INTO pause (webhook, since) VALUES ('ops', {NOW});
         INSERT INTO pause (webhook, since, until) VALUES ('a', {NOW} + 5, {NOW} + 6)"
    );
    assert!(engine.by_hand(&by_hand));
    let mut log = asking(engine);
    log.end_pauses(NOW + 7).unwrap();
    log.tell_pauses(NOW + 7).unwrap();
    log.set_unsynced(false);
    log.tell_pauses(NOW + 8).unwrap();
    assert!(!log.is_unsynced(), "nothing is new, and nothing is written");
    let all = names(&mut *log);
    let (paused, resumed) = ("webhooksd.webhook.paused", "webhooksd.webhook.resumed");
    assert_eq!(all, [paused, resumed, paused]);
    assert!(log.resume("ops", NOW + 9).unwrap());
    let last = due_by(&mut *log, "ops", i64::MAX).pop().unwrap();
    // Nobody asks: what is known goes, and ids go on where they were.
    log.pause(&pause).unwrap();
    log.announce_by(None);
    log.ask_for_own(false).unwrap();
    log.ask_for_own(true).unwrap();
    log.announce_by(Some(Arc::new(All)));
    log.tell_pauses(NOW + 10).unwrap();
    assert_eq!(names(&mut *log).len(), 5, "it stood there before");
    log.resume("a", 0).unwrap();
    let dues = due_by(&mut *log, "ops", i64::MAX);
    let ids = dues.iter().map(|due| due.event_id);
    assert!(ids.max().unwrap() > last.event_id);
}

pub(super) fn by_a_webhook_that_pauses_itself(engine: &dyn Engine) {
    let mut log = asking(engine);
    let spans = || [("a".into(), HOUR)].into();
    log.pause_by_themselves(spans()).unwrap();
    let due = admit(&mut *log, &admission(1..=1, &["a"])).remove(0);
    let fail = |log: &mut dyn LogWriter, at_ms| {
        let retry = Verdict::RetryAt(at_ms + 10 * SECOND);
        log.record(&[attempt(&due, at_ms, retry)]).unwrap();
        log.take_pauses_changed()
    };
    for n in 0..20 {
        assert!(!fail(&mut *log, NOW + n * SECOND), "within seconds");
    }
    drop(log);
    let mut log = asking(engine);
    log.pause_by_themselves(spans()).unwrap();
    assert!(!fail(&mut *log, NOW + HOUR - 13), "a millisecond too soon");
    assert!(fail(&mut *log, NOW + HOUR - 12));
    let paused = log.pauses().unwrap().remove(0);
    assert_eq!((&*paused.webhook, paused.since_ms), ("a", NOW + HOUR));
    let next_ms = NOW + HOUR + 60 * SECOND;
    assert_eq!(paused.next_try_ms, Some(next_ms));
    let words = "auto_pause: all 22 attempts since 2023-11-14T22:13:20Z failed, the last: refused";
    assert_eq!(paused.reason.as_deref(), Some(words));
    assert_eq!(names(&mut *log), ["webhooksd.webhook.paused"]);
    // What was in flight is no try.
    assert!(!fail(&mut *log, next_ms - 1));
    assert!(fail(&mut *log, next_ms));
    let next_ms = log.pauses().unwrap()[0].next_try_ms;
    assert_eq!(next_ms, Some(NOW + HOUR + 3 * 60 * SECOND + 12));
    let done = attempt(&due, next_ms.unwrap(), Verdict::Delivered);
    log.record(&[done]).unwrap();
    assert!(log.take_pauses_changed() && log.pauses().unwrap().is_empty());
    // A person's pause is nobody else's to end.
    assert!(engine.by_hand("INSERT INTO pause (webhook) VALUES ('a')"));
    for n in 1..30 {
        assert!(!fail(&mut *log, NOW + 2 * HOUR + n * HOUR));
    }
    assert_eq!(log.pauses().unwrap()[0].next_try_ms, None);
}

pub(super) fn by_a_hand(engine: &dyn Engine) {
    let mut log = asking(engine);
    log.changed().unwrap();
    let before = Clock::system().now_ms();
    assert!(engine.by_hand("INSERT INTO pause (webhook) VALUES ('a')"));
    assert!(log.changed().unwrap(), "and is seen");
    let made = log.pauses().unwrap().remove(0);
    assert!((before..before + 60_000).contains(&made.since_ms));
    assert_eq!((made.until_ms, made.reason), (None, None));
    assert!(engine.by_hand("INSERT INTO pause (webhook, since) VALUES ('a', NULL)"));
    assert_eq!(log.pauses().unwrap().len(), 1);
    for sql in [
        "INSERT INTO pause (webhook) VALUES ('c')",
        "INSERT INTO pause (webhook, until) VALUES ('a', 1764400000)",
        "UPDATE pause SET webhook = 'ops'",
        "INSERT INTO redelivery (delivery_id) VALUES (5)",
    ] {
        assert!(!engine.by_hand(sql), "{sql}");
    }
    assert!(engine.by_hand("UPDATE pause SET reason = 'why' WHERE webhook = 'a'"));
    assert_eq!(log.pauses().unwrap()[0].reason.as_deref(), Some("why"));
    assert!(engine.by_hand("DELETE FROM pause"));
    assert_eq!(log.pauses().unwrap(), []);
    // One that ended is sent again, and one that is pending is not.
    let made = admit(&mut *log, &admission(1..=2, &["a"]));
    log.record(&[attempt(&made[0], NOW, Verdict::Delivered)])
        .unwrap();
    let (seen, webhooks) = log.redelivered_since(0).unwrap();
    assert!(webhooks.is_empty());
    let again = |due: &Due| {
        let id = due.id;
        engine.by_hand(&format!(
            "INSERT INTO redelivery (delivery_id) VALUES ({id})"
        ))
    };
    assert!(again(&made[0]) && !again(&made[1]));
    assert!(log.changed().unwrap());
    let (_, webhooks) = log.redelivered_since(seen).unwrap();
    assert_eq!(webhooks, ["a"]);
    let bodies = due_by(&mut *log, "a", i64::MAX).into_iter();
    let bodies: Vec<_> = bodies.map(|due| due.body).collect();
    assert!(bodies.contains(&made[0].body));
}
