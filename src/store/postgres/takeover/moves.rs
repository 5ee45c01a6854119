//! What each table of a log in SQLite becomes: how its rows are read there, and where they go.
//!
//! Names and words stand in the rows on the other side, and so do the texts that several rows share here. Left out: what
//! is derived and made anew (which webhook has attempts in which block of ids), and what only a file has.

/// What a column holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Int,
    Word,
    Truth,
    Blob,
}

use Kind::{Blob as B, Int as I, Truth as T, Word as W};

/// Rows that are read by one query and go into one table.
pub(super) struct Move {
    pub(super) what: &'static str,
    pub(super) step: &'static str,
    /// The table and its columns.
    into: &'static str,
    /// What they get, of what is read as `c1`, `c2` and so on; empty: just that.
    gets: &'static str,
    /// A kind for each of them.
    pub(super) kinds: &'static [Kind],
    pub(super) from: &'static str,
}

impl Move {
    pub(super) fn insert(&self) -> String {
        let kind = |kind: &Kind| match kind {
            Kind::Int => "bigint[]",
            Kind::Word => "text[]",
            Kind::Truth => "boolean[]",
            Kind::Blob => "bytea[]",
        };
        let kinds = || self.kinds.iter().enumerate();
        let places = kinds().map(|(at, of)| format!("${}::{}", at + 1, kind(of)));
        let names = kinds().map(|(at, _)| format!("c{}", at + 1));
        format!(
            "INSERT INTO webhooksd.{} SELECT {} FROM unnest({}) AS x({})",
            self.into,
            if self.gets.is_empty() { "*" } else { self.gets },
            places.collect::<Vec<_>>().join(", "),
            names.collect::<Vec<_>>().join(", ")
        )
    }
}

macro_rules! dialect {
    ($of:literal) => {
        concat!(
            "CASE ",
            $of,
            " WHEN 0 THEN 'bold-cms' WHEN 1 THEN 'bold-factory' WHEN 2 THEN 'openboxes-lift'
             WHEN 3 THEN 'standard-webhooks' ELSE ",
            $of,
            " END"
        )
    };
}

macro_rules! origin {
    ($of:literal) => {
        concat!(
            "CASE ",
            $of,
            " WHEN 0 THEN 'event' WHEN 1 THEN 'redelivery' WHEN 2 THEN 'replay' ELSE 'test' END"
        )
    };
}

macro_rules! webhook {
    ($of:literal) => {
        concat!("(SELECT n.name FROM webhook_name n WHERE n.id = ", $of, ")")
    };
}

/// A waiting delivery has no due time there, and this one here.
macro_rules! due_at {
    () => {
        "nullif(x.due_at, 9223372036854775807)"
    };
}

/// In an order in which nothing refers to what is not there yet. A pause goes before who made it, for a pause that is
/// made says that nobody did.
pub(super) const MOVES: [Move; 24] = [
    Move {
        what: "webhooks",
        step: "take webhooks over",
        into: "webhook (name, slot, state, created_at, since, generation, after_event_id, last_success_at,
          last_failure_at, last_error, above_ms, held_until)",
        gets: "",
        kinds: &[W, I, W, I, I, I, I, I, I, W, I, I],
        from: "SELECT w.name, 1 + (row_number() OVER (ORDER BY w.name) - 1) % 256, w.state, w.created_at, w.since,
          w.generation, w.after_event_id, w.last_success_at, w.last_failure_at, w.last_error,
          (SELECT p.above_ms FROM patient p WHERE p.webhook = w.name),
          (SELECT r.until FROM retry_after r JOIN webhook_name n ON n.id = r.webhook_id WHERE n.name = w.name)
          FROM webhook w ORDER BY w.name",
    },
    Move {
        what: "bodies",
        step: "take bodies over",
        into: "payload (id, generation, event_id, event, dialect, body, tenant, message)",
        gets: "",
        kinds: &[I, I, I, W, W, W, W, W],
        from: concat!(
            "SELECT p.id, p.generation, p.event_id, p.event, ", dialect!("p.dialect"), ", p.body, p.tenant, m.id
             FROM payload p LEFT JOIN payload_message m ON m.payload_id = p.id ORDER BY p.id"
        ),
    },
    Move {
        what: "pending",
        step: "take pending deliveries over",
        into: "pending (id, webhook, payload_id, origin, attempts, due_at, created_at)",
        gets: "",
        kinds: &[I, W, I, W, I, I, I],
        from: concat!(
            "SELECT x.id, ", webhook!("x.webhook_id"), ", x.payload_id, ", origin!("x.origin"),
            ", x.attempts, ", due_at!(), ", x.created_at FROM queued x"
        ),
    },
    Move {
        what: "pending",
        step: "take pending deliveries over",
        into: "pending (id, webhook, payload_id, origin, attempts, due_at, created_at)",
        gets: "",
        kinds: &[I, W, I, W, I, I, I],
        from: concat!(
            "SELECT x.id, ", webhook!("x.webhook_id"), ", x.payload_id, ", origin!("x.origin"),
            ", x.attempts, ", due_at!(), ", x.created_at FROM parked x"
        ),
    },
    Move {
        what: "ended",
        step: "take ended deliveries over",
        into: "ended (id, webhook, payload_id, origin, state, attempts, created_at, finished_at, by_order)",
        gets: "",
        kinds: &[I, W, I, W, W, I, I, I, T],
        from: concat!(
            "SELECT x.id, ", webhook!("x.webhook_id"), ", x.payload_id, ", origin!("x.origin"),
            ", CASE x.state WHEN 0 THEN 'failed' ELSE 'cancelled' END, x.attempts, x.created_at, x.finished_at,
             x.reason IS NOT NULL FROM ended x ORDER BY x.id"
        ),
    },
    // The view has the texts that are shared; of the shape before it has rows that are none of these.
    Move {
        what: "attempts",
        step: "take attempts over",
        into: "attempt (id, delivery_id, webhook, payload_id, origin, number, time, waited, took, outcome, status,
          duration_us, name_us, connect_us, proxy_us, tls_us, head_us, body_us, class, error, note, peer, url,
          request_headers, response_truncated, response_headers, response_body, batch)",
        gets: "",
        kinds: &[
            I, I, W, I, W, I, I, I, I, W, I, I, I, I, I, I, I, I, W, W, W, W, W, W, T, W, B, W,
        ],
        from: "SELECT a.id, a.delivery_id, l.webhook, a.payload_id, l.origin, a.number, a.time, a.waited, a.took,
          CASE a.outcome WHEN 3 THEN 'again' ELSE l.outcome END,
          a.status, a.duration_us, a.name_us, a.connect_us, a.proxy_us, a.tls_us, a.head_us, a.body_us, a.class, a.error,
          a.note, l.peer, l.url, l.request_headers, a.response_truncated, l.response_headers, l.response_body, l.batch
          FROM log l CROSS JOIN attempt a ON a.id = l.id",
    },
    Move {
        what: "turns",
        step: "take turns over",
        into: "turn (delivery_id, webhook, value, state, since)",
        gets: "",
        kinds: &[I, W, I, W, I],
        from: concat!(
            "SELECT x.delivery_id, ", webhook!("x.webhook_id"), ", x.value,
             CASE x.state WHEN 1 THEN 'failed' WHEN 2 THEN 'cancelled' END, x.since FROM turn x ORDER BY x.delivery_id"
        ),
    },
    Move {
        what: "debts",
        step: "take what is owed over",
        into: "owed (id, payload_id, webhooks)",
        gets: "",
        kinds: &[I, I, W],
        from: "SELECT id, payload_id, webhooks FROM owed ORDER BY id",
    },
    Move {
        what: "gaps",
        step: "take gaps over",
        into: "gap (first, last)",
        gets: "",
        kinds: &[I, I],
        from: "SELECT first, last FROM gap ORDER BY first",
    },
    Move {
        what: "batches",
        step: "take batches over",
        into: "batch (first_id, name, members)",
        gets: "c1, c2, string_to_array(c3, ',')::bigint[]",
        kinds: &[I, W, W],
        from: "SELECT first_id, name, members FROM batch ORDER BY first_id",
    },
    Move {
        what: "rejected",
        step: "take rows set aside over",
        into: "rejected (id, generation, event_id, event, reason, time)",
        gets: "",
        kinds: &[I, I, I, W, W, I],
        from: "SELECT id, generation, event_id, event, reason, time FROM rejected ORDER BY id",
    },
    Move {
        what: "redeliveries",
        step: "take redeliveries over",
        into: "redelivery (id, delivery_id, time, new_delivery_id)",
        gets: "",
        kinds: &[I, I, I, I],
        from: "SELECT id, delivery_id, time, new_delivery_id FROM redelivery ORDER BY id",
    },
    Move {
        what: "pauses",
        step: "take pauses over",
        into: "pause (webhook, since, until, reason)",
        gets: "",
        kinds: &[W, I, I, W],
        // One of a webhook that is gone holds nothing back, and is refused there.
        from: "SELECT webhook, since, until, reason FROM pause p
           WHERE EXISTS (SELECT 1 FROM webhook w WHERE w.name = p.webhook AND w.state <> 'removed') ORDER BY webhook",
    },
    Move {
        what: "pauses",
        step: "take pauses over",
        into: "self_paused (webhook, tries, next_at)",
        gets: "",
        kinds: &[W, I, I],
        from: "SELECT webhook, tries, next_at FROM self_paused ORDER BY webhook",
    },
    Move {
        what: "pauses",
        step: "take pauses over",
        into: "streak (webhook, since, failures)",
        gets: "",
        kinds: &[W, I, I],
        from: "SELECT webhook, since, failures FROM streak ORDER BY webhook",
    },
    Move {
        what: "pauses",
        step: "take pauses over",
        into: "pause_told (webhook, since, reason)",
        gets: "",
        kinds: &[W, I, W],
        from: "SELECT webhook, since, reason FROM pause_told ORDER BY webhook",
    },
    Move {
        what: "own events",
        step: "take the last id over",
        into: "own (one, event_id, asked)",
        gets: "",
        kinds: &[I, I, T],
        from: "SELECT one, event_id, asked FROM own",
    },
    Move {
        what: "tests",
        step: "take the last id over",
        into: "test_event (one, event_id)",
        gets: "",
        kinds: &[I, I],
        from: "SELECT one, event_id FROM test_event",
    },
    Move {
        what: "replays",
        step: "take replays over",
        into: "replay (id, created_at, finished_at, generation, since, until, webhook, event, next_id, last_id, matched,
          done)",
        gets: "",
        kinds: &[I, I, I, I, I, I, W, W, I, I, I, I],
        from: "SELECT id, created_at, finished_at, generation, since, until, webhook, event, next_id, last_id, matched,
          done FROM replay ORDER BY id",
    },
    Move {
        what: "roll-up",
        step: "take the roll-up over",
        into: "rollup (span, start, webhook, attempts, failures, le_1, le_2, le_3, le_5, le_10, le_20, le_30, le_50, le_100,
          le_200, le_300, le_500, le_1000, le_2000, le_3000, le_5000, le_10000)",
        gets: "",
        kinds: &[
            W, I, W, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I,
        ],
        from: "SELECT span, start, webhook, attempts, failures, le_1, le_2, le_3, le_5, le_10, le_20, le_30, le_50, le_100,
          le_200, le_300, le_500, le_1000, le_2000, le_3000, le_5000, le_10000 FROM rollup",
    },
    Move {
        what: "roll-up",
        step: "take the roll-up over",
        into: "rolled_up (one, attempt_id, time)",
        gets: "",
        kinds: &[I, I, I],
        from: "SELECT one, attempt_id, time FROM rolled_up",
    },
    Move {
        what: "marks",
        step: "take marks over",
        into: "mark (time, generation, event_id, delivery_id, attempt_id, payload_id, rejected_id, redelivery_id)",
        gets: "",
        kinds: &[I, I, I, I, I, I, I, I],
        from: "SELECT time, generation, event_id, delivery_id, attempt_id, payload_id, rejected_id, redelivery_id
          FROM mark ORDER BY time",
    },
    Move {
        what: "cursor",
        step: "take the cursor over",
        into: "cursor (one, generation, event_id, fingerprints, time)",
        gets: "",
        kinds: &[I, I, I, B, I],
        from: "SELECT one, generation, event_id, fingerprints, time FROM cursor",
    },
    Move {
        what: "cursor",
        step: "take the cursor over",
        into: "snapshot (one, generation, system, timeline, seen, upto, xid, id, since)",
        gets: "",
        kinds: &[I, I, W, W, W, W, I, I, I],
        from: "SELECT one, generation, system, timeline, seen, upto, xid, id, since FROM snapshot",
    },
];

/// What is finished in the tables of the shape before; what was pending there has come over by then.
pub(super) const OF_EARLIER: [Move; 3] = [
    Move {
        what: "bodies",
        step: "take bodies over",
        into: "payload (id, generation, event_id, event, dialect, body)",
        gets: "",
        kinds: &[I, I, I, W, W, W],
        from: "SELECT p.id, p.generation, p.event_id,
          coalesce((SELECT d.event FROM old_delivery d WHERE d.event_id = p.event_id AND d.payload_id = p.id), ''),
          p.dialect, p.body FROM old_payload p
          WHERE NOT EXISTS (SELECT 1 FROM payload q WHERE q.id = p.id) ORDER BY p.id",
    },
    Move {
        what: "ended",
        step: "take ended deliveries over",
        into: "ended (id, webhook, payload_id, origin, state, attempts, created_at, finished_at)",
        gets: "",
        kinds: &[I, W, I, W, W, I, I, I],
        from: "SELECT id, webhook, payload_id, origin, state, attempts, created_at, finished_at FROM old_delivery
          WHERE state = 'failed' OR state = 'cancelled' ORDER BY id",
    },
    Move {
        what: "attempts",
        step: "take attempts over",
        into: "attempt (id, delivery_id, webhook, payload_id, origin, number, time, waited, took, outcome, status,
          duration_us, name_us, connect_us, tls_us, head_us, body_us, class, error, note, peer, url, request_headers,
          response_truncated, response_headers, response_body)",
        gets: "",
        kinds: &[
            I, I, W, I, W, I, I, I, I, W, I, I, I, I, I, I, I, W, W, W, W, W, W, T, W, B,
        ],
        from: "SELECT o.id, o.delivery_id, o.webhook, d.payload_id, d.origin, o.number, o.time, o.time - d.created_at,
          CASE WHEN o.outcome = 'delivered' AND d.state = 'delivered' THEN d.finished_at - o.time
               ELSE o.duration_us / 1000 END,
          o.outcome, o.status, o.duration_us, o.name_us, o.connect_us, o.tls_us, o.head_us, o.body_us,
          o.class, o.error, o.note, o.peer, o.url, o.request_headers, o.response_truncated, o.response_headers,
          o.response_body FROM old_attempt o JOIN old_delivery d ON d.id = o.delivery_id ORDER BY o.id",
    },
];
