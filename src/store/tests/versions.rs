//! Versions of a log in PostgreSQL: what an earlier one has comes along, and what its nodes say is understood afterwards.

use super::engine::{Engine as _, admit};
use super::server::{ServerLog, postgres};
use super::*;
use crate::postgres::Link;
use crate::store::postgres::Writer;

/// A log as version 1 made it.
const FIRST: [&str; 4] = [
    "CREATE SCHEMA webhooksd",
    include_str!("../postgres/schema/0001.sql"),
    include_str!("../postgres/views.sql"),
    "INSERT INTO webhooksd.meta SELECT 1, 1, 1, uuid_send(gen_random_uuid())",
];

/// What a node of version 1 says as it begins, takes an event in and records its attempt, word for word but for the
/// values.
const OF_FIRST: [&str; 6] = [
    "SELECT CASE WHEN d.last_value < now.id THEN setval('webhooksd.delivery_id', now.id) END,
            CASE WHEN p.last_value < now.id THEN setval('webhooksd.payload_id_seq', now.id) END,
            CASE WHEN a.last_value < now.id THEN setval('webhooksd.attempt_id_seq', now.id) END
       FROM webhooksd.delivery_id d, webhooksd.payload_id_seq p, webhooksd.attempt_id_seq a,
            (SELECT ((extract(epoch FROM clock_timestamp()) * 1000)::bigint - 1767225600000) * 1024 AS id) now",
    "INSERT INTO webhooksd.payload (id, generation, event_id, event, dialect, body, tenant, message)
     SELECT nextval('webhooksd.payload_id_seq'), 3, 7, 'e', 'bold-cms', 'by the first', NULL, NULL",
    "INSERT INTO webhooksd.pending (id, webhook, payload_id, origin, due_at, created_at, in_hand)
     SELECT nextval('webhooksd.delivery_id'), 'a', max(id), 'event', 1, 1, false FROM webhooksd.payload",
    "WITH made AS (
       INSERT INTO webhooksd.attempt (delivery_id, webhook, payload_id, origin, number, time, waited, took, outcome, status,
         duration_us, name_us, connect_us, proxy_us, tls_us, head_us, body_us, class, error, note, peer, url, request_headers,
         response_truncated, response_headers, response_body, batch)
       SELECT id, webhook, payload_id, origin, 1, 1, 1, 1, 'retry', 500, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'e',
         NULL, NULL, 'https://h.example/', 'h', false, 'h', 'x', NULL FROM webhooksd.pending
       RETURNING id)
     SELECT max(id) FROM made",
    "UPDATE webhooksd.attempt SET response_body = NULL WHERE delivery_id = ANY ('{1}') AND response_body IS NOT NULL",
    "DELETE FROM webhooksd.payload x WHERE x.id > 0 AND x.id <= (SELECT max(id) FROM webhooksd.payload)
       AND NOT EXISTS (SELECT FROM webhooksd.attempt a WHERE a.payload_id = x.id)
       AND NOT EXISTS (SELECT FROM webhooksd.pending q WHERE q.payload_id = x.id)
       AND NOT EXISTS (SELECT FROM webhooksd.ended e WHERE e.payload_id = x.id)
       AND NOT EXISTS (SELECT FROM webhooksd.owed o WHERE o.payload_id = x.id)",
];

/// What one question says.
macro_rules! ask {
    ($kind:ty, $link:expr, $sql:expr $(,)?) => {
        $link.rows("ask", $sql, &[]).unwrap()[0].get::<_, $kind>(0)
    };
}

fn of_first(link: &Link) {
    for sql in OF_FIRST {
        link.batch("say", sql).unwrap();
    }
}

fn first(engine: &ServerLog) -> Link {
    let link = Link::open(&engine.server).unwrap();
    for part in FIRST {
        link.batch("make", part).unwrap();
    }
    of_first(&link);
    link
}

fn refusal(engine: &ServerLog) -> Error {
    Writer::open(&engine.server, "test", NOW).unwrap_err()
}

#[test]
fn a_log_of_the_first_shape_is_brought_over_whole_and_its_nodes_go_on() {
    let Some(on) = postgres() else { return };
    let engine = ServerLog::new(on);
    let link = first(&engine);
    let person = format!("person_of_{}", engine.name());
    link.batch(
        "grant",
        &format!(
            "CREATE ROLE {person}; GRANT USAGE ON SCHEMA webhooksd TO {person};
             GRANT SELECT ON webhooksd.attempt, webhooksd.log TO {person}"
        ),
    )
    .unwrap();
    let error = refusal(&engine);
    assert!(error.to_string().contains("of version 1"), "{error}");
    assert!(error.hint().unwrap().contains("webhooksd migrate"));
    let (id, last): (i64, i64) = (
        ask!(_, &link, "SELECT max(id) FROM webhooksd.log"),
        ask!(_, &link, "SELECT last_value FROM webhooksd.payload_id_seq"),
    );

    assert_eq!(upgrade_log(&engine.server).unwrap(), Brought::Up(1, 2));
    assert_eq!(upgrade_log(&engine.server).unwrap(), Brought::Ready);
    let body = format!("SELECT request_body FROM webhooksd.log WHERE id = {id}");
    assert_eq!(ask!(String, &link, &body), "by the first");
    assert_eq!(
        ask!(
            i64,
            &link,
            "SELECT last_value FROM webhooksd.payload_id_seq"
        ),
        last
    );
    let sql = format!(
        "SET ROLE {person}; SELECT * FROM webhooksd.attempt; SELECT * FROM webhooksd.log; RESET ROLE"
    );
    link.batch("read", &sql).unwrap();
    let bounds: i64 = ask!(
        _,
        &link,
        "SELECT count(*) FROM pg_constraint WHERE conname ~ 'broken off'",
    );
    assert_eq!(bounds, 0);

    // Both write, one after the other.
    let mut log = engine.open();
    let made = admit(&mut *log, &admission(8..=8, &["a"]), NOW);
    of_first(&link);
    log.record(&[attempt(&made[0], NOW, Verdict::Delivered)])
        .unwrap();
    of_first(&link);
    assert!(ask!(i64, &link, "SELECT count(*) FROM webhooksd.log") > 3);
    let due = log.due("a", NOW, 9, usize::MAX, &|_| false).unwrap();
    assert_eq!(due.len(), 3);
    assert!(due.iter().all(|due| *due.body == *b"by the first"));
}

#[test]
fn what_was_broken_off_is_done_again() {
    let Some(on) = postgres() else { return };
    let engine = ServerLog::new(on);
    let link = first(&engine);
    // A run that was killed left its bound, which is long past.
    let bound = "ALTER TABLE webhooksd.payload ADD CONSTRAINT \"`webhooksd migrate` was broken off: run it again\"
        CHECK (id < 9) NOT VALID";
    link.batch("bound", bound).unwrap();
    let said = link.batch("say", OF_FIRST[1]).unwrap_err();
    assert!(said.to_string().contains("run it again"), "{said}");
    assert_eq!(upgrade_log(&engine.server).unwrap(), Brought::Up(1, 2));
    of_first(&link);
}

#[test]
fn who_may_write_is_said_by_the_log() {
    let Some(on) = postgres() else { return };
    let engine = ServerLog::new(on);
    drop(engine.open());
    // A version to come, that lets this one go on, and one that does not.
    assert!(engine.by_hand("UPDATE meta SET version = 9, oldest = 2"));
    drop(engine.open());
    assert!(engine.by_hand("UPDATE meta SET version = 9, oldest = 9"));
    let error = refusal(&engine);
    assert!(error.to_string().contains("of version 9"), "{error}");
    assert!(upgrade_log(&engine.server).is_err());
}
