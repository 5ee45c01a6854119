//! A person with `sqlite3` and the right to write: what simulations look at and do behind the
//! daemon's back.
//!
//! A connection of its own, so that the daemon learns of its commits as it learns of anybody's.
//! Nothing here is part of the product, and nothing fails on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use crate::model::Vfs;

/// A delivery as it stands in the log.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) id: i64,
    pub(crate) webhook: String,
    pub(crate) dialect: String,
    pub(crate) state: String,
    pub(crate) attempts: u32,
    pub(crate) due_at_ms: Option<i64>,
}

/// An attempt as it stands in the log.
#[derive(Clone, Debug)]
pub(crate) struct Attempted {
    pub(crate) id: i64,
    pub(crate) delivery_id: i64,
    pub(crate) number: u32,
    pub(crate) outcome: String,
    pub(crate) status: Option<u16>,
}

/// A delivery of an event of webhooksd itself.
#[derive(Clone, Debug)]
pub(crate) struct OwnMade {
    pub(crate) id: i64,
    pub(crate) event_id: i64,
    pub(crate) event: String,
    pub(crate) webhook: String,
    pub(crate) body: String,
}

const COLUMNS: &str = "SELECT id, webhook, dialect, state, attempts, due_at FROM delivery";

/// A delivery that is owed: generation, event and webhook.
pub(crate) type Debt = (i64, i64, String);

/// The connection.
#[derive(Debug)]
pub(crate) struct Person(Connection);

impl Person {
    pub(crate) fn new(log: &Path) -> Self {
        Self::by(Vfs::default(), log)
    }

    /// The same, by another VFS.
    pub(crate) fn by(vfs: Vfs, log: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags_and_vfs(log, flags, vfs.0).unwrap();
        connection.set_prepared_statement_cache_capacity(32);
        // Else each look is planned anew, for the id that is bound to it differs.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
            .unwrap();
        connection
            .execute_batch("PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0")
            .unwrap();
        Self(connection)
    }

    /// Has begun a transaction that keeps all others from writing, until this value goes.
    pub(crate) fn holding(log: &Path) -> Self {
        let person = Self::new(log);
        person.0.execute_batch("BEGIN IMMEDIATE").unwrap();
        person
    }

    pub(crate) fn delivery(&self, id: i64) -> Option<Delivery> {
        self.deliveries("WHERE id = ?1 OR id = ?2", (id, id)).pop()
    }

    /// What is pending of a webhook's events below that delivery, with its body.
    pub(crate) fn events_before(&self, webhook: &str, id: i64) -> Vec<(i64, Vec<u8>)> {
        let sql = "SELECT x.id, CAST(p.body AS BLOB)
                     FROM (SELECT id, webhook_id, payload_id, origin FROM parked
                           UNION ALL SELECT id, webhook_id, payload_id, origin FROM queued) x
                     JOIN payload p ON p.id = x.payload_id
                    WHERE x.webhook_id = (SELECT id FROM webhook_name WHERE name = ?1) AND x.id < ?2 AND x.origin = 0";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let rows = statement.query_map((webhook, id), row).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// What was given up before that delivery and holds its line, and whether any line of the webhook is held so.
    pub(crate) fn holder(&self, webhook: &str, id: i64) -> (Option<i64>, bool) {
        let sql = "SELECT (SELECT h.delivery_id FROM turn t JOIN turn h ON h.webhook_id = t.webhook_id AND h.value = t.value
                            WHERE t.delivery_id = ?2 AND h.delivery_id < ?2 AND h.state = 1),
                          EXISTS (SELECT 1 FROM turn WHERE state = 1
                                     AND webhook_id = (SELECT n.id FROM webhook_name n WHERE n.name = ?1))";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        statement.query_row((webhook, id), row).unwrap()
    }

    /// Which event a delivery is of.
    pub(crate) fn event_id(&self, id: i64) -> Option<i64> {
        let sql = "SELECT event_id FROM delivery WHERE id = ?1";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        statement.query_row([id], |row| row.get(0)).unwrap()
    }

    /// Whether a delivery waits for its turn.
    pub(crate) fn is_held(&self, id: i64) -> bool {
        let sql = "SELECT EXISTS (SELECT 1 FROM held WHERE delivery_id = ?1)";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        statement.query_row([id], |row| row.get(0)).unwrap()
    }

    /// Whether a delivery was made for an event that came.
    pub(crate) fn is_event(&self, id: i64) -> bool {
        let sql = "SELECT EXISTS (SELECT 1 FROM delivery WHERE id = ?1 AND origin = 'event')";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        statement.query_row([id], |row| row.get(0)).unwrap()
    }

    pub(crate) fn pending(&self) -> Vec<Delivery> {
        let which = "WHERE state = 'pending' AND ?1 < ?2";
        self.deliveries(which, (0, 1))
    }

    /// How many deliveries are pending, and the sum of their ids.
    pub(crate) fn pending_sum(&self) -> (i64, i64) {
        let sql = "SELECT count(*), coalesce(sum(id), 0)
                     FROM (SELECT id FROM queued UNION ALL SELECT id FROM parked)";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        statement.query_row([], row).unwrap()
    }

    pub(crate) fn deliveries_after(&self, id: i64) -> Vec<Delivery> {
        self.deliveries("WHERE id > ?1 AND id <= ?2 ORDER BY id", (id, i64::MAX))
    }

    /// Those of one event, in the order of their webhooks' names.
    pub(crate) fn of_event(&self, generation: i64, event_id: i64) -> Vec<Delivery> {
        let which = "WHERE generation = ?1 AND event_id = ?2 AND origin = 'event' ORDER BY webhook";
        self.deliveries(which, (generation, event_id))
    }

    /// The webhooks that an event still owes a delivery, each with its dialect.
    pub(crate) fn owed(&self, generation: i64, event_id: i64) -> Vec<(String, String)> {
        let sql = "SELECT webhooks, dialect FROM owed WHERE generation = ?1 AND event_id = ?2";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let row = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let rows = statement.query_map([generation, event_id], row).unwrap();
        rows.map(Result::unwrap)
            .flat_map(|(names, dialect)| {
                let names = names.lines().map(|name| (name.to_owned(), dialect.clone()));
                names.collect::<Vec<_>>()
            })
            .collect()
    }

    /// All that is owed.
    pub(crate) fn debts(&self) -> BTreeSet<Debt> {
        let sql = "SELECT generation, event_id, webhooks FROM owed";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?));
        let rows = statement.query_map([], row).unwrap();
        rows.map(Result::unwrap)
            .flat_map(|(generation, event_id, names): (i64, i64, String)| {
                let debt = |name: &str| (generation, event_id, name.to_owned());
                names.lines().map(debt).collect::<Vec<_>>()
            })
            .collect()
    }

    /// What the deliveries made since then are of.
    pub(crate) fn paid_after(&self, id: i64) -> Vec<Debt> {
        let sql = "SELECT generation, event_id, webhook FROM delivery WHERE id > ?1";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let rows = statement.query_map([id], row).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn deliveries(&self, which: &str, ids: (i64, i64)) -> Vec<Delivery> {
        let mut statement = self
            .0
            .prepare_cached(&format!("{COLUMNS} {which}"))
            .unwrap();
        let rows = statement.query_map(ids, delivery).unwrap();
        rows.map(Result::unwrap).collect()
    }

    pub(crate) fn attempts_after(&self, id: i64) -> Vec<Attempted> {
        let sql =
            "SELECT id, delivery_id, attempt, outcome, status FROM log WHERE id > ?1 ORDER BY id";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let row = |row: &Row<'_>| {
            Ok(Attempted {
                id: row.get(0)?,
                delivery_id: row.get(1)?,
                number: row.get(2)?,
                outcome: row.get(3)?,
                status: row.get(4)?,
            })
        };
        let rows = statement.query_map([id], row).unwrap();
        rows.map(Result::unwrap).collect()
    }

    pub(crate) fn is_rejected(&self, generation: i64, event_id: i64) -> bool {
        let sql = "SELECT count(*) = 1 FROM rejected WHERE generation = ?1 AND event_id = ?2";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let ids = (generation, event_id);
        statement.query_row(ids, |row| row.get(0)).unwrap()
    }

    /// The cursor's generation and id.
    pub(crate) fn cursor(&self) -> Option<(i64, i64)> {
        let sql = "SELECT generation, event_id FROM cursor";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        statement.query_row([], row).optional().unwrap()
    }

    /// Begins a transaction, so that nobody else can write.
    pub(crate) fn hold(&mut self) {
        self.0.execute_batch("BEGIN IMMEDIATE").unwrap();
    }

    /// Ends it.
    pub(crate) fn let_go(&mut self) {
        self.0.execute_batch("COMMIT").unwrap();
    }

    /// Whether the log has the delivery's body.
    pub(crate) fn is_kept(&self, id: i64) -> bool {
        let sql = "SELECT EXISTS (SELECT 1 FROM delivery d JOIN payload p ON p.id = d.payload_id
                     WHERE d.id = ?1 AND p.body IS NOT NULL)";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        statement.query_row([id], |row| row.get(0)).unwrap()
    }

    /// Whether the log takes an order to send that delivery again.
    pub(crate) fn is_redelivered(&self, id: i64) -> bool {
        let sql = "INSERT INTO redelivery (delivery_id) VALUES (?1)";
        self.0.execute(sql, [id]).is_ok()
    }

    /// Bodies that are gone and needed: by what is pending, owed, or ended without success.
    pub(crate) fn bodies_lacking(&self) -> i64 {
        let sql = "SELECT count(*) FROM payload p WHERE body IS NULL
                      AND (EXISTS (SELECT 1 FROM queued q WHERE q.payload_id = p.id)
                        OR EXISTS (SELECT 1 FROM parked k WHERE k.payload_id = p.id)
                        OR EXISTS (SELECT 1 FROM ended e WHERE e.payload_id = p.id)
                        OR EXISTS (SELECT 1 FROM owed o WHERE o.payload_id = p.id))";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        statement.query_row([], |row| row.get(0)).unwrap()
    }

    /// Answers' bodies of what was delivered; but for those of a request that was under way meanwhile.
    pub(crate) fn bodies_left(&self) -> i64 {
        let sql = "SELECT count(*) FROM attempt a WHERE a.response_body IS NOT NULL
                      AND EXISTS (SELECT 1 FROM attempt d
                                   WHERE d.delivery_id = a.delivery_id AND d.outcome IN (1, 3))
                      AND NOT EXISTS (SELECT 1 FROM attempt l
                                       WHERE l.delivery_id = a.delivery_id AND l.outcome IN (0, 2)
                                         AND l.id > (SELECT max(d.id) FROM attempt d
                                           WHERE d.delivery_id = a.delivery_id AND d.outcome IN (1, 3)))";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        statement.query_row([], |row| row.get(0)).unwrap()
    }

    /// `INSERT INTO pause`, by the simulated clock. Whether the log knows the webhook.
    pub(crate) fn pause(&self, webhook: &str, since_ms: i64, until_ms: Option<i64>) -> bool {
        let sql = "INSERT INTO pause (webhook, since, until) VALUES (?1, ?2, ?3)";
        self.0
            .execute(sql, params![webhook, since_ms, until_ms])
            .is_ok()
    }

    /// `DELETE FROM pause`. Whether there was one.
    pub(crate) fn resume(&self, webhook: &str) -> bool {
        let sql = "DELETE FROM pause WHERE webhook = ?1";
        self.0.execute(sql, [webhook]).unwrap() > 0
    }

    /// The same of all.
    pub(crate) fn resume_all(&self) {
        self.0.execute("DELETE FROM pause", []).unwrap();
    }

    /// The rows of `pause` by the webhook's name: until when; and when the next try is of one that paused itself.
    pub(crate) fn paused(&self) -> BTreeMap<String, (Option<i64>, Option<i64>)> {
        let sql = "SELECT p.webhook, p.until, s.next_at FROM pause p LEFT JOIN self_paused s USING (webhook)";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let row = |row: &Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
        let rows = statement.query_map([], row).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// The rows of `pause` by the webhook's name: since when.
    pub(crate) fn paused_since(&self) -> BTreeMap<String, i64> {
        let sql = "SELECT webhook, since FROM pause";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// Whether the log says that somebody asks for events of webhooksd itself.
    pub(crate) fn asks_for_own(&self) -> bool {
        let sql = "SELECT EXISTS (SELECT 1 FROM own WHERE asked = 1)";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        statement.query_row([], |row| row.get(0)).unwrap()
    }

    /// The name of a delivery's event; empty where there is none.
    pub(crate) fn event_of(&self, id: i64) -> String {
        let sql = "SELECT event FROM delivery WHERE id = ?1";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let name = statement.query_row([id], |row| row.get(0)).optional();
        name.unwrap().unwrap_or_default()
    }

    /// Rows that were set aside since: their ids there and in the outbox.
    pub(crate) fn rejected_after(&self, id: i64) -> Vec<(i64, i64)> {
        let sql = "SELECT id, event_id FROM rejected WHERE id > ?1 ORDER BY id";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let rows = statement.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// Deliveries of events of webhooksd itself that were made since, but for those that are sent again.
    pub(crate) fn own_after(&self, id: i64) -> Vec<OwnMade> {
        let sql = "SELECT d.id, d.event_id, d.event, d.webhook, p.body FROM delivery d
                     JOIN payload p ON p.id = d.payload_id
                    WHERE d.id > ?1 AND d.event LIKE 'webhooksd.%' AND d.origin = 'event' ORDER BY d.id";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let row = |row: &Row<'_>| {
            Ok(OwnMade {
                id: row.get(0)?,
                event_id: row.get(1)?,
                event: row.get(2)?,
                webhook: row.get(3)?,
                body: row.get(4)?,
            })
        };
        let rows = statement.query_map([id], row).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// `INSERT INTO redelivery`, by the simulated clock. Returns the new delivery.
    pub(crate) fn redeliver(&mut self, id: i64, now_ms: i64) -> i64 {
        let transaction = self.0.transaction().unwrap();
        let cached = |sql| transaction.prepare_cached(sql).unwrap();
        let insert = "INSERT INTO redelivery (delivery_id) VALUES (?1)";
        cached(insert).execute([id]).unwrap();
        let made = "SELECT max(new_delivery_id) FROM redelivery";
        let made = cached(made).query_row([], |row| row.get(0)).unwrap();
        let due = "UPDATE parked SET due_at = ?2, created_at = ?2 WHERE id = ?1";
        cached(due).execute(params![made, now_ms]).unwrap();
        transaction.commit().unwrap();
        made
    }
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: row.get(0)?,
        webhook: row.get(1)?,
        dialect: row.get(2)?,
        state: row.get(3)?,
        attempts: row.get(4)?,
        due_at_ms: row.get(5)?,
    })
}
