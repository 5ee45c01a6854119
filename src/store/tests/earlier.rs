//! Pending work of the shape before comes over in steps: it is in sight after each of them, once, and with its body.

use super::*;
use crate::store::transition::CameOver;

/// More than come over with the migration.
const PENDING: i64 = 5_600;

const STEP: usize = 250;

/// A row for each that people see.
const DELIVERIES: &str = "SELECT group_concat(id || webhook || state || origin || attempts || coalesce(due_at, created_at) || payload_id)
   FROM (SELECT * FROM delivery ORDER BY id)";

/// Three webhooks of different sizes; each body is of three deliveries.
fn before() -> Log {
    let log = shapes::before();
    log.execute(&format!(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {PENDING})
         INSERT INTO delivery (generation, event_id, event, webhook, dialect, state, origin, attempts, due_at, created_at, payload_id)
         SELECT 3, 9, 'h', CASE WHEN n % 7 = 0 THEN 'z' WHEN n % 50 = 0 THEN 'c' ELSE 'a' END, 'bold-factory', 'pending',
                CASE n % 3 WHEN 0 THEN 'test' WHEN 1 THEN 'redelivery' ELSE 'event' END, n % 4, nullif(n % 11, 0), 5,
                4 + n / 3 FROM c;
         WITH RECURSIVE c(n) AS (SELECT 4 UNION ALL SELECT n + 1 FROM c WHERE n < 4 + {PENDING} / 3)
         INSERT INTO payload (id, generation, event_id, dialect, body) SELECT n, 3, 9, 'bold-factory', '{{\"n\":' || n || '}}' FROM c"
    ))
    .unwrap();
    log
}

/// What people see of it, and count.
fn seen(log: &Log) -> (String, String, Vec<(String, i64)>) {
    let health = log.ask("SELECT group_concat(webhook || pending) FROM health");
    let reader = Reader::open(&log.path).unwrap();
    let pending = reader.pending().unwrap();
    let all: i64 = pending.iter().map(|(_, count)| count).sum();
    assert_eq!(reader.pending_in_all().unwrap().count, all);
    (log.ask(DELIVERIES), health, pending)
}

#[test]
fn work_of_the_shape_before_comes_over_in_steps_and_is_in_sight_after_each() {
    let log = before();
    let was: String = log.ask(DELIVERIES);
    let mut store = log.open();
    let first = seen(&log);
    assert_eq!(first.0, was);
    let names: Vec<&str> = first.2.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["a", "b", "c", "z"]);
    let mut rows = 0;
    loop {
        // Nothing of it goes by age before it has come over.
        store.mark(NOW).unwrap();
        while store.sweep(0, 500).unwrap().more {}
        let step = store.come_over(STEP).unwrap();
        rows += step.rows;
        assert!(step.rows <= STEP);
        assert_eq!(step.rows > 0, !step.webhooks.is_empty());
        assert_eq!(seen(&log), first);
        if !step.more {
            break;
        }
        // As after a kill between two steps.
        drop(store);
        store = log.open();
    }
    let at_once = usize::try_from(PENDING + 1).unwrap() - rows;
    assert_eq!(at_once, 5_000, "came over with the migration");
    assert_eq!(store.come_over(STEP).unwrap(), CameOver::default());
    let bodies = "SELECT count(*) FROM parked k JOIN payload p ON p.id = k.payload_id
                   WHERE p.body = CASE k.payload_id WHEN 2 THEN '{\"n\":\"\u{e4}\"}' ELSE '{\"n\":' || p.id || '}' END
                     AND p.size = length(CAST(p.body AS BLOB))";
    assert_eq!(log.ask::<i64>(bodies), PENDING + 1);
    // Nothing of how it came over is left to be seen.
    let whole = before();
    drop(store);
    whole.execute("DELETE FROM delivery WHERE id > 20").unwrap();
    drop(whole.open());
    let schema = "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name)";
    assert_eq!(log.ask::<String>(schema), whole.ask::<String>(schema));
}

#[test]
fn a_body_that_was_let_go_of_comes_again_for_who_needs_it_yet() {
    let log = before();
    let mut store = log.open();
    let left: String = log.ask(
        "SELECT group_concat(id) FROM old_delivery WHERE state = 'pending' AND due_at < 9223372036854775807",
    );
    log.execute(
        "DELETE FROM payload WHERE id % 2 = 0; UPDATE payload SET body = NULL WHERE id % 3 = 0",
    )
    .unwrap();
    while store.come_over(STEP).unwrap().more {}
    let whole = format!(
        "SELECT count(*) FROM parked k JOIN payload p ON p.id = k.payload_id
          WHERE k.id IN ({left}) AND p.body = '{{\"n\":' || p.id || '}}'"
    );
    assert_eq!(log.ask::<i64>(&whole), PENDING + 1 - 5_000);
}
