//! A log in PostgreSQL, and a writer of the tests: the story in SQL, run by `psql`.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::super::need::missing;
use super::*;
use crate::model::{PayloadId, Secret, Server, ServerHost, Trigger};
use crate::store::postgres::{Reader as ServerReader, SCHEMA};
use installed::{Database, Postgres, quoted};

// The server that the tests of the program start too.
#[path = "../../../../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "they ask more of it")]
mod installed;

pub(super) use installed::postgres;

/// How long a server may take to start.
const SOON: Duration = Duration::from_secs(40);

/// Waits until something holds.
#[expect(clippy::disallowed_methods, reason = "a server starts in real time")]
fn eventually(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while let Err(last) = condition() {
        assert!(start.elapsed() < limit, "{what}: last seen: {last}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `Ok` where `holds`, otherwise the reason.
fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// A log in a database of its own.
pub(super) struct Log {
    database: std::rc::Rc<Database>,
    server: Arc<Server>,
}

impl Log {
    pub(super) fn new(on: &Postgres) -> Self {
        let database = on.database();
        database.sql(&SCHEMA.concat());
        let server = Server {
            whose: "log",
            hosts: vec![ServerHost {
                host: on.host(),
                port: 5432,
            }],
            user: Some("postgres".into()),
            database: Some(database.name.clone()),
            password: None::<Secret>,
            tls: None,
            doorbell: false,
            application_name: "webhooksd".into(),
            connect_timeout: SOON,
            shown: database.url(),
        };
        Self {
            database: std::rc::Rc::new(database),
            server: Arc::new(server),
        }
    }
}

impl Engine for Log {
    fn writes(&self) -> Box<dyn Writes> {
        Box::new(Writer {
            database: self.database.clone(),
            holds: RefCell::default(),
        })
    }

    fn reads(&self) -> Box<dyn LogReader> {
        Box::new(ServerReader::open(&self.server).unwrap())
    }
}

/// What writes by SQL.
struct Writer {
    database: std::rc::Rc<Database>,
    /// The webhooks whose order holds what is behind what was given up.
    holds: RefCell<HashMap<Arc<str>, TurnRule>>,
}

impl Writer {
    fn sql(&self, sql: &str) -> String {
        self.database.sql(&format!("BEGIN; {sql}; COMMIT"))
    }

    fn id(&self, sql: &str) -> i64 {
        self.sql(sql).parse().unwrap()
    }

    /// One delivery; `None` where it waits for its turn.
    fn deliver(&self, event: &FanOut, at: usize, now_ms: i64, payload: i64) -> Option<Due> {
        let (webhook, body) = &event.webhooks[at];
        let turn = event.turns.iter().find(|(place, _)| *place == at);
        let kept = self.holds.borrow().contains_key(webhook);
        let turn = turn.filter(|_| kept).map(|(_, turn)| turn.get());
        let name = quoted(webhook);
        let waits = turn.is_some_and(|value| {
            let sql = format!(
                "SELECT count(*) FROM webhooksd.turn WHERE webhook = {name} AND value = {value}"
            );
            self.id(&sql) > 0
        });
        let due = if waits {
            "NULL".into()
        } else {
            now_ms.to_string()
        };
        let id = self.id(&format!(
            "INSERT INTO webhooksd.pending (webhook, payload_id, origin, due_at, created_at)
             VALUES ({name}, {payload}, 'event', {due}, {now_ms}) RETURNING id"
        ));
        if let Some(value) = turn {
            let sql = format!("INSERT INTO webhooksd.turn VALUES ({id}, {name}, {value})");
            self.sql(&sql);
        }
        let (dialect, body) = &event.bodies[*body];
        (!waits).then(|| Due {
            id: DeliveryId::new(id),
            event_id: event.event_id,
            event: event.event.clone(),
            webhook: webhook.clone(),
            dialect: *dialect,
            origin: Trigger::Event,
            attempts: 0,
            due_at_ms: now_ms,
            created_at_ms: now_ms,
            payload_id: PayloadId::new(payload),
            body: body.clone(),
            message: None,
            batch: None,
        })
    }

    /// The row of an attempt.
    fn row(attempt: &Attempt) -> String {
        let due = &attempt.due;
        let (id, name) = (due.id, quoted(&due.webhook));
        let (status, headers, body, class) = match &attempt.exchange.result {
            Ok(answer) => (
                answer.status.to_string(),
                quoted(answer.headers.lines()),
                format!(
                    "convert_to({}, 'UTF8')",
                    quoted(std::str::from_utf8(&answer.body).unwrap())
                ),
                "NULL".to_owned(),
            ),
            Err(failure) => (
                "NULL".to_owned(),
                "NULL".to_owned(),
                "NULL".to_owned(),
                quoted(failure.class.name()),
            ),
        };
        let truncated = attempt.exchange.result.as_ref().map_or("NULL", |_| "false");
        let or_null = |value: Option<i64>| value.map_or("NULL".to_owned(), |us| us.to_string());
        let phases = &attempt.exchange.phases;
        let (connect, proxy) = (phases.connect_us, phases.proxy_us);
        let error = attempt.error.as_deref().map_or("NULL".to_owned(), quoted);
        let peer = attempt
            .exchange
            .peer
            .map_or("NULL".to_owned(), |peer| quoted(&peer.to_string()));
        let (started, ended) = (attempt.started_at_ms, attempt.finished_at_ms);
        format!(
            "INSERT INTO webhooksd.attempt (delivery_id, webhook, payload_id, origin, number, time, waited, took, outcome,
               status, duration_us, connect_us, proxy_us, class, error, peer, url, request_headers, response_truncated,
               response_headers, response_body)
             VALUES ({id}, {name}, {}, 'event', {}, {started}, {}, {}, {}, {status}, {}, {}, {}, {class}, {error}, {peer},
               {}, {}, {truncated}, {headers}, {body});",
            due.payload_id.get(),
            attempt.number,
            started - due.created_at_ms,
            ended - started,
            quoted(attempt.outcome()),
            attempt.exchange.duration_us,
            or_null(connect),
            or_null(proxy),
            quoted(attempt.url.text()),
            quoted("Host: h.example"),
        )
    }

    fn one(&self, attempt: &Attempt) {
        let (id, name) = (attempt.due.id, quoted(&attempt.due.webhook));
        let (started, ended) = (attempt.started_at_ms, attempt.finished_at_ms);
        let error = attempt.error.as_deref().map_or("NULL".to_owned(), quoted);
        let mut sql = Self::row(attempt);
        let sets = match attempt.verdict {
            Verdict::Delivered => {
                write!(sql, "DELETE FROM webhooksd.pending WHERE id = {id};").unwrap();
                format!("last_success_at = {started}")
            }
            Verdict::RetryAt(at) => {
                write!(
                    sql,
                    "UPDATE webhooksd.pending SET attempts = attempts + 1, due_at = {at} WHERE id = {id};"
                )
                .unwrap();
                format!("last_failure_at = {started}, last_error = {error}")
            }
            Verdict::Failed => {
                write!(
                    sql,
                    "WITH gone AS (DELETE FROM webhooksd.pending WHERE id = {id} RETURNING *)
                     INSERT INTO webhooksd.ended SELECT id, webhook, payload_id, origin, 'failed', attempts + 1, created_at,
                       {ended} FROM gone;
                     UPDATE webhooksd.turn SET state = 'failed', since = {ended} WHERE delivery_id = {id};"
                )
                .unwrap();
                format!("last_failure_at = {started}, last_error = {error}")
            }
        };
        let held = attempt
            .held_until_ms
            .map_or(String::new(), |until| format!(", held_until = {until}"));
        write!(
            sql,
            "UPDATE webhooksd.webhook SET {sets}{held} WHERE name = {name}"
        )
        .unwrap();
        self.sql(&sql);
    }

    fn end(&self, which: &str, by_order: bool, now_ms: i64) {
        self.sql(&format!(
            "WITH gone AS (DELETE FROM webhooksd.pending WHERE {which} RETURNING *)
             INSERT INTO webhooksd.ended SELECT id, webhook, payload_id, origin, 'cancelled', attempts, created_at,
               {now_ms}, {by_order} FROM gone"
        ));
    }
}

impl Writes for Writer {
    fn register(&mut self, webhooks: &[(Arc<str>, bool)], now_ms: i64) {
        for (name, active) in webhooks {
            let state = if *active { "active" } else { "inactive" };
            self.sql(&format!(
                "INSERT INTO webhooksd.webhook (name, state, created_at, since, generation, after_event_id)
                 VALUES ({}, '{state}', {now_ms}, {now_ms}, 0, 0)",
                quoted(name)
            ));
        }
    }

    fn keep_order(&mut self, rules: HashMap<Arc<str>, TurnRule>) {
        *self.holds.borrow_mut() = rules;
    }

    fn admit(&mut self, admission: &Admission, now_ms: i64) -> Vec<Due> {
        let mut dues = Vec::new();
        let generation = admission.cursor.generation.get();
        for event in &admission.events {
            let payloads = event.bodies.iter().map(|(dialect, body)| {
                let tenant = event.tenant.as_deref().map_or("NULL".to_owned(), quoted);
                self.id(&format!(
                    "INSERT INTO webhooksd.payload (generation, event_id, event, dialect, body, tenant)
                     VALUES ({generation}, {}, {}, {}, {}, {tenant}) RETURNING id",
                    event.event_id.get(),
                    quoted(&event.event),
                    quoted(dialect.name()),
                    quoted(std::str::from_utf8(body).unwrap()),
                ))
            });
            let payloads: Vec<i64> = payloads.collect();
            for (at, (_, body)) in event.webhooks.iter().enumerate() {
                dues.extend(self.deliver(event, at, now_ms, payloads[*body]));
            }
        }
        self.sql(&format!(
            "INSERT INTO webhooksd.cursor VALUES (1, {generation}, {}, '', {now_ms})
             ON CONFLICT (one) DO UPDATE SET event_id = excluded.event_id",
            admission.cursor.event_id.get()
        ));
        dues
    }

    fn record(&mut self, attempts: &[Attempt]) {
        attempts.iter().for_each(|attempt| self.one(attempt));
    }

    fn redeliver(&mut self, id: DeliveryId) -> DeliveryId {
        DeliveryId::new(self.id(&format!(
            "INSERT INTO webhooksd.redelivery (delivery_id) VALUES ({id}) RETURNING new_delivery_id"
        )))
    }

    fn cancel_by_order(&mut self, id: DeliveryId, now_ms: i64) {
        self.end(&format!("id = {id}"), true, now_ms);
    }

    fn cancel(&mut self, webhook: &str, now_ms: i64) {
        self.end(&format!("webhook = {}", quoted(webhook)), false, now_ms);
    }

    fn set_aside(&mut self, row: Rejected, now_ms: i64) {
        self.sql(&format!(
            "INSERT INTO webhooksd.rejected (generation, event_id, event, reason, time) VALUES (3, {}, {}, {}, {now_ms})",
            row.event_id.get(),
            quoted(&row.event),
            quoted(&row.reason)
        ));
    }

    fn pause(&mut self, pause: &Pause) {
        let until = pause
            .until_ms
            .map_or("NULL".to_owned(), |until| until.to_string());
        self.sql(&format!(
            "INSERT INTO webhooksd.pause VALUES ({}, {}, {until}, {})",
            quoted(&pause.webhook),
            pause.since_ms,
            pause.reason.as_deref().map_or("NULL".to_owned(), quoted)
        ));
    }

    fn begin_replay(&mut self, replay: &Replay, now_ms: i64) -> ReplayId {
        let words = |text: &Option<String>| text.as_deref().map_or("NULL".to_owned(), quoted);
        ReplayId::new(self.id(&format!(
            "INSERT INTO webhooksd.replay (created_at, generation, since, until, webhook, event, next_id, last_id, matched)
             VALUES ({now_ms}, {}, {}, {}, {}, {}, {}, {}, {}) RETURNING id",
            replay.generation.get(),
            replay.since_ms,
            replay.until_ms.map_or("NULL".to_owned(), |until| until.to_string()),
            words(&replay.webhook),
            words(&replay.event),
            replay.next_id.get(),
            replay.last_id.get(),
            replay.matched
        )))
    }

    fn mark(&mut self, now_ms: i64) {
        self.sql(&format!(
            "INSERT INTO webhooksd.mark SELECT {now_ms}, generation, event_id, 0 FROM webhooksd.cursor"
        ));
    }

    fn flush(&mut self, _: i64) {
        let edges = crate::model::LOG_EDGES_MS.iter();
        let within: String = edges
            .map(|edge| format!(", count(*) FILTER (WHERE duration_us <= {edge} * 1000)"))
            .collect();
        for (span, length) in [("5min", 300_000), ("hour", 3_600_000)] {
            self.sql(&format!(
                "INSERT INTO webhooksd.rollup SELECT '{span}', time / {length} * {length}, webhook, count(*),
                   count(*) FILTER (WHERE outcome <> 'delivered'){within} FROM webhooksd.attempt GROUP BY 2, 3"
            ));
        }
    }
}
