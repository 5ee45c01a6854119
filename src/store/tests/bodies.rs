//! `[log] bodies = "failed"`: what of a delivered event is gone, what stays, and what is refused then.

use super::*;
use crate::model::{Bodies, DeliveryId};

/// A store that keeps the bodies of what failed alone.
fn sparing(log: &Log) -> Store {
    let mut store = log.open();
    store.keep_bodies(Bodies::Failed);
    store
}

/// An attempt that was answered, whatever came of it.
fn answered(due: &Due, verdict: Verdict) -> Attempt {
    let mut attempt = attempt(due, NOW, Verdict::Delivered);
    attempt.error = (verdict != Verdict::Delivered).then(|| "HTTP 500".to_owned());
    attempt.verdict = verdict;
    attempt
}

fn again(due: &Due) -> Due {
    Due {
        attempts: due.attempts + 1,
        ..due.clone()
    }
}

/// What the view has of the requests' and the answers' bodies of a delivery, in order.
fn kept(log: &Log, id: i64) -> String {
    log.ask(&format!(
        "SELECT group_concat(coalesce(request_body, '-') || ' ' || coalesce(response_body, '-'), ', ')
           FROM (SELECT * FROM log WHERE delivery_id = {id} ORDER BY id)"
    ))
}

fn redelivery(log: &Log, id: i64) -> Result<(), String> {
    let sql = format!("INSERT INTO redelivery (delivery_id) VALUES ({id})");
    log.execute(&sql).map_err(|error| error.to_string())
}

const NOT_KEPT: &str = "the body of that delivery was not kept";

#[test]
fn a_body_goes_with_its_last_success_and_stays_for_what_failed() {
    let log = Log::new();
    let mut store = sparing(&log);
    // Of each event a and c share a body, and b has one of its own.
    let mut takes = |due: &Due| due.event_id.get() == 1;
    let batch = admission(1..=2, &["a", "b", "c"]);
    let (dues, _) = store.admit(&batch, &|_| false, &mut takes, NOW).unwrap();
    let record = |store: &mut Store, due: &Due, verdict| {
        store.record(&[answered(due, verdict)]).unwrap();
    };
    for (of_event, cms) in [(0, r#"{"cms":1}"#), (3, r#"{"cms":2}"#)] {
        let [a, b, c] = [0, 1, 2].map(|n| &dues[of_event + n]);
        record(&mut store, a, Verdict::Delivered);
        assert_eq!(kept(&log, a.id.get()), format!("{cms} -"), "c is pending");
        record(&mut store, b, Verdict::Delivered);
        assert_eq!(kept(&log, b.id.get()), "- -");
        record(&mut store, c, Verdict::RetryAt(NOW));
        assert_eq!(kept(&log, c.id.get()), format!("{cms} fine"));
        record(&mut store, &again(c), Verdict::Delivered);
        assert_eq!(
            kept(&log, c.id.get()),
            "- -, - -",
            "the answer before as well"
        );
        assert_eq!(kept(&log, a.id.get()), "- -");
    }
    assert_eq!(
        log.ask::<i64>("SELECT count(*) FROM delivery WHERE event = 'story-approve'"),
        6
    );

    let dues = store
        .admit_all(&admission(3..=3, &["a", "b", "c"]), NOW)
        .unwrap();
    let both = [
        answered(&dues[0], Verdict::Failed),
        answered(&dues[2], Verdict::Delivered),
    ];
    store.record(&both).unwrap();
    let (failed, delivered) = (dues[0].id.get(), dues[2].id.get());
    assert_eq!(kept(&log, failed), r#"{"cms":3} fine"#);
    assert_eq!(kept(&log, delivered), r#"{"cms":3} -"#, "the other failed");
    store.cancel("b", 9, NOW, &|_, _| false).unwrap();
    assert_eq!(
        log.ask::<i64>("SELECT count(*) FROM payload WHERE body IS NOT NULL"),
        2
    );
    redelivery(&log, failed).unwrap();
    let due = store.due("a", i64::MAX, 9, usize::MAX, &|_| false).unwrap();
    assert_eq!(&*due[0].body, br#"{"cms":3}"#);
}

#[test]
fn what_has_no_body_is_not_sent_again_and_by_default_each_has() {
    let log = Log::new();
    let mut store = log.open();
    let dues = store.admit_all(&admission(1..=2, &["a"]), NOW).unwrap();
    store
        .record(&[answered(&dues[0], Verdict::Delivered)])
        .unwrap();
    store.keep_bodies(Bodies::Failed);
    store
        .record(&[answered(&dues[1], Verdict::Delivered)])
        .unwrap();
    assert_eq!(kept(&log, 1), r#"{"cms":1} fine"#, "written before");
    let error = redelivery(&log, 2).unwrap_err();
    assert!(error.contains(NOT_KEPT), "{error}");
    let answers = store
        .redeliver(&[1, 2].map(DeliveryId::new), &|_| true)
        .unwrap();
    let expected = [
        Ok((DeliveryId::new(3), "a".to_owned())),
        Err(RedeliverError::NotKept),
    ];
    assert_eq!(answers, expected);
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM redelivery"), 1);

    // What is known of the event goes by its name where no body is left.
    let reader = Reader::open(&log.path).unwrap();
    let (generation, id) = (Generation::new(3), EventId::new);
    assert_eq!(reader.bodies(generation, id(2)).unwrap().len(), 0);
    assert_eq!(reader.bodies(generation, id(1)).unwrap().len(), 1);
    let found = reader.generation_of_body(id(2), Dialect::BoldCms, "x");
    assert_eq!(found.unwrap(), None);
}

#[test]
fn what_is_owed_keeps_its_body() {
    let log = Log::new();
    let mut store = sparing(&log);
    let later = |name: &str| name == "c";
    let batch = admission(1..=1, &["a", "b", "c"]);
    let (dues, owed) = store.admit(&batch, &later, &mut |_| true, NOW).unwrap();
    store
        .record(&[answered(&dues[0], Verdict::Delivered)])
        .unwrap();
    let made = store.materialize(&owed, &mut |_| false, NOW).unwrap();
    let due = store.due("c", i64::MAX, 9, usize::MAX, &|_| false).unwrap();
    assert_eq!((due.len(), due[0].id), (1, made[0].id));
    assert_eq!(&*due[0].body, br#"{"cms":1}"#);
}

/// The rows of the shape before keep theirs, and can be sent again as often as somebody asks.
#[test]
fn a_body_of_the_shape_before_comes_back() {
    let log = shapes::before();
    let mut store = sparing(&log);
    for new in [5, 6] {
        redelivery(&log, 2).unwrap();
        let due = store.due("a", i64::MAX, 9, usize::MAX, &|_| false).unwrap();
        assert_eq!((due.len(), due[0].id.get()), (1, new));
        assert_eq!(&*due[0].body, "{\"n\":\"\u{e4}\"}".as_bytes());
        // The other that shares it is pending from before.
        let shared = store.due("b", i64::MAX, 9, usize::MAX, &|_| false).unwrap();
        let all: Vec<Attempt> = due
            .iter()
            .chain(&shared)
            .map(|due| answered(due, Verdict::Delivered))
            .collect();
        store.record(&all).unwrap();
        assert_eq!(
            log.ask::<i64>("SELECT count(*) FROM payload WHERE id = 2 AND body IS NULL"),
            1
        );
    }
    let error = redelivery(&log, 5).unwrap_err();
    assert!(error.contains(NOT_KEPT), "{error}");
}

/// A log of the shape before this one: the trigger is today's.
#[test]
fn a_log_of_version_five_gets_todays_views() {
    let log = Log::new();
    drop(log.open());
    log.execute(
        "DROP VIEW log; ALTER TABLE attempt DROP COLUMN proxy_us; DROP TABLE log_id;
         DROP TRIGGER redelivery_checked; ALTER TABLE ended DROP COLUMN reason;
         ALTER TABLE payload DROP COLUMN tenant;
         DROP TABLE retry_after; DROP TABLE batch; DROP TABLE posted;
         DROP TABLE pause; DROP TABLE streak; DROP TABLE self_paused;
         DROP TABLE own; DROP TABLE pause_told; DROP TABLE payload_message; DROP TABLE patient;
         DROP VIEW held; DROP TABLE turn; DROP TABLE snapshot; PRAGMA user_version = 5;
         CREATE TRIGGER redelivery_checked BEFORE INSERT ON redelivery BEGIN SELECT 1; END",
    )
    .unwrap();
    let fresh = Log::new();
    drop((log.open(), fresh.open()));
    let schema =
        "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_master ORDER BY type, name)";
    assert_eq!(log.ask::<String>(schema), fresh.ask::<String>(schema));
    let newest = fresh.ask::<i64>("PRAGMA user_version");
    assert_eq!(log.ask::<i64>("PRAGMA user_version"), newest);
}
