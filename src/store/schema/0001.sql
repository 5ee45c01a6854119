-- The log of webhooksd, first shape. Times are UNIX milliseconds, spans are microseconds, words are text.
-- The views `log`, `failed` and `health` are for people and stay as they are; so does INSERT INTO redelivery.
-- Views and triggers run in the reader's own sqlite3, so they keep to what SQLite 3.34 knows.

-- A body, once for all deliveries and attempts of its event in its dialect.
CREATE TABLE payload (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  generation INTEGER NOT NULL,
  event_id   INTEGER NOT NULL,
  dialect    TEXT NOT NULL,
  body       TEXT NOT NULL
);

-- One event for one webhook.
CREATE TABLE delivery (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  generation  INTEGER NOT NULL,
  event_id    INTEGER NOT NULL,
  event       TEXT NOT NULL,
  webhook     TEXT NOT NULL,
  dialect     TEXT NOT NULL,
  -- Not IN (...): with it a delivery, admitted and recorded, took 12.6 us of CPU instead of 9.0.
  state       TEXT NOT NULL CHECK (state = 'pending' OR state = 'delivered' OR state = 'failed' OR state = 'cancelled'),
  origin      TEXT NOT NULL,
  attempts    INTEGER NOT NULL DEFAULT 0,
  due_at      INTEGER,
  created_at  INTEGER NOT NULL,
  finished_at INTEGER,
  payload_id  INTEGER NOT NULL
);
CREATE INDEX delivery_event ON delivery (event_id);
CREATE INDEX delivery_pending ON delivery (state, webhook, due_at) WHERE state = 'pending';
CREATE INDEX delivery_ended ON delivery (state, webhook) WHERE state = 'failed' OR state = 'cancelled';

-- One POST. The short columns come first, for a long answer spills into pages of its own.
CREATE TABLE attempt (
  id                 INTEGER PRIMARY KEY AUTOINCREMENT,
  delivery_id        INTEGER NOT NULL,
  webhook            TEXT NOT NULL,
  number             INTEGER NOT NULL,
  time               INTEGER NOT NULL,
  outcome            TEXT NOT NULL,
  status             INTEGER,
  duration_us        INTEGER NOT NULL,
  name_us            INTEGER,
  connect_us         INTEGER,
  tls_us             INTEGER,
  head_us            INTEGER,
  body_us            INTEGER,
  class              TEXT,
  error              TEXT,
  peer               TEXT,
  url                TEXT NOT NULL,
  request_headers    TEXT NOT NULL,
  response_truncated INTEGER,
  response_headers   TEXT,
  response_body
);
CREATE INDEX attempt_delivery ON attempt (delivery_id);
CREATE INDEX attempt_webhook ON attempt (webhook);

-- Rows of the outbox that can't be sent.
CREATE TABLE rejected (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  generation INTEGER NOT NULL,
  event_id   INTEGER NOT NULL,
  event      TEXT NOT NULL,
  reason     TEXT NOT NULL,
  time       INTEGER NOT NULL
);
CREATE INDEX rejected_event ON rejected (event_id);

-- INSERT INTO redelivery (delivery_id) sends a delivery again: the triggers make the new one.
CREATE TABLE redelivery (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  delivery_id     INTEGER NOT NULL,
  time            INTEGER,
  new_delivery_id INTEGER
);
CREATE INDEX redelivery_delivery ON redelivery (delivery_id);
CREATE TRIGGER redelivery_checked BEFORE INSERT ON redelivery BEGIN
  SELECT RAISE(ABORT, 'redelivery: no delivery has that id')
   WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE id = NEW.delivery_id);
  SELECT RAISE(ABORT, 'redelivery: that delivery is still pending')
   WHERE (SELECT state FROM delivery WHERE id = NEW.delivery_id) = 'pending';
END;
CREATE TRIGGER redelivery_made AFTER INSERT ON redelivery BEGIN
  INSERT INTO delivery (generation, event_id, event, webhook, dialect, state, origin, attempts,
                        due_at, created_at, payload_id)
  SELECT d.generation, d.event_id, d.event, d.webhook, d.dialect, 'pending', 'redelivery', 0,
         t.now, t.now, d.payload_id
    FROM delivery d,
         (SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000
                 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) AS now) t
   WHERE d.id = NEW.delivery_id;
  UPDATE redelivery
     SET new_delivery_id = last_insert_rowid(),
         time = CAST(strftime('%s', 'now') AS INTEGER) * 1000
                + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER)
   WHERE id = NEW.id;
END;

-- The webhooks of the configuration, and those that left it. `since` and what follows it: when the
-- state last changed, and the last event that had been taken in by then.
CREATE TABLE webhook (
  name            TEXT PRIMARY KEY,
  state           TEXT NOT NULL CHECK (state IN ('active', 'inactive', 'removed')),
  created_at      INTEGER NOT NULL,
  since           INTEGER NOT NULL,
  generation      INTEGER NOT NULL,
  after_event_id  INTEGER NOT NULL,
  last_success_at INTEGER,
  last_failure_at INTEGER,
  last_error      TEXT
);

-- Attempts counted by span ('5min', 'hour'), start and webhook. `le_N`: took at most N ms.
CREATE TABLE rollup (
  span     TEXT NOT NULL,
  start    INTEGER NOT NULL,
  webhook  TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  le_1 INTEGER NOT NULL, le_2 INTEGER NOT NULL, le_3 INTEGER NOT NULL, le_5 INTEGER NOT NULL,
  le_10 INTEGER NOT NULL, le_20 INTEGER NOT NULL, le_30 INTEGER NOT NULL, le_50 INTEGER NOT NULL,
  le_100 INTEGER NOT NULL, le_200 INTEGER NOT NULL, le_300 INTEGER NOT NULL, le_500 INTEGER NOT NULL,
  le_1000 INTEGER NOT NULL, le_2000 INTEGER NOT NULL, le_3000 INTEGER NOT NULL,
  le_5000 INTEGER NOT NULL, le_10000 INTEGER NOT NULL,
  PRIMARY KEY (span, start, webhook)
) WITHOUT ROWID;

-- One row each: how far the outbox has been taken in, and up to which attempt the roll-up counts.
CREATE TABLE cursor (
  one          INTEGER PRIMARY KEY CHECK (one = 1),
  generation   INTEGER NOT NULL,
  event_id     INTEGER NOT NULL,
  fingerprints BLOB NOT NULL,
  time         INTEGER NOT NULL
);
CREATE TABLE rolled_up (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  attempt_id INTEGER NOT NULL,
  time       INTEGER NOT NULL
);

-- Events of the outbox that are sent again: rows next_id to last_id, of those times (until is not
-- in it), for one webhook or all. A step moves next_id in the transaction that writes its deliveries.
CREATE TABLE replay (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  created_at  INTEGER NOT NULL,
  finished_at INTEGER,
  generation  INTEGER NOT NULL,
  since       INTEGER NOT NULL,
  until       INTEGER,
  webhook     TEXT,
  event       TEXT,
  next_id     INTEGER NOT NULL,
  last_id     INTEGER NOT NULL,
  matched     INTEGER NOT NULL,
  done        INTEGER NOT NULL DEFAULT 0
);

-- One row: the id of the last event that was made to try a webhook out.
CREATE TABLE test_event (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  event_id INTEGER NOT NULL
);

-- Hourly: the highest ids given out by then. Retention goes by these.
CREATE TABLE mark (
  time          INTEGER PRIMARY KEY,
  generation    INTEGER NOT NULL,
  event_id      INTEGER NOT NULL,
  attempt_id    INTEGER NOT NULL,
  delivery_id   INTEGER NOT NULL,
  payload_id    INTEGER NOT NULL,
  rejected_id   INTEGER NOT NULL,
  redelivery_id INTEGER NOT NULL
);

-- A row per attempt. LEFT JOINs, so that a count does not look anything up.
CREATE VIEW log AS
SELECT a.id,
       strftime('%Y-%m-%dT%H:%M:%fZ', a.time / 1000.0, 'unixepoch') AS time,
       a.webhook, d.event, d.event_id, a.delivery_id,
       a.number AS attempt, a.outcome, a.status, a.error,
       a.duration_us / 1000.0 AS duration_ms,
       a.url, a.request_headers, p.body AS request_body, a.response_headers, a.response_body,
       a.name_us / 1000.0 AS name_ms, a.connect_us / 1000.0 AS connect_ms,
       a.tls_us / 1000.0 AS tls_ms, a.head_us / 1000.0 AS head_ms, a.body_us / 1000.0 AS body_ms,
       a.peer, a.class, a.response_truncated, d.dialect, d.origin
  FROM attempt a
  LEFT JOIN delivery d ON d.id = a.delivery_id
  LEFT JOIN payload p ON p.id = d.payload_id;

-- Deliveries given up that nobody has sent again.
CREATE VIEW failed AS
SELECT d.id AS delivery_id, d.webhook, d.event, d.event_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', d.finished_at / 1000.0, 'unixepoch') AS failed_at,
       d.attempts,
       (SELECT a.status FROM attempt a WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1) AS status,
       (SELECT a.error FROM attempt a WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1) AS error
  FROM delivery d
 WHERE d.state = 'failed' AND d.origin <> 'test'
   AND NOT EXISTS (SELECT 1 FROM redelivery r WHERE r.delivery_id = d.id);

-- A row per webhook of the configuration. An hour is counted in steps of 5 minutes, a day in hours;
-- p50 and p99 are of the day, as the upper edge of their bucket.
CREATE VIEW health AS
SELECT w.name AS webhook,
       strftime('%Y-%m-%dT%H:%M:%fZ', w.last_success_at / 1000.0, 'unixepoch') AS last_success,
       strftime('%Y-%m-%dT%H:%M:%fZ', w.last_failure_at / 1000.0, 'unixepoch') AS last_failure,
       coalesce(h.attempts, 0) AS attempts_hour, coalesce(h.failures, 0) AS failures_hour,
       coalesce(d.attempts, 0) AS attempts_day, coalesce(d.failures, 0) AS failures_day,
       d.p50_ms, d.p99_ms,
       (SELECT count(*) FROM delivery q WHERE q.state = 'pending' AND q.webhook = w.name) AS pending,
       w.last_error, w.state
  FROM webhook w
  LEFT JOIN (
    SELECT webhook, sum(attempts) AS attempts, sum(failures) AS failures
      FROM rollup
     WHERE span = '5min' AND start > CAST(strftime('%s', 'now') AS INTEGER) * 1000 - 3600000
     GROUP BY webhook) h ON h.webhook = w.name
  LEFT JOIN (
    SELECT webhook, sum(attempts) AS attempts, sum(failures) AS failures,
           CASE
             WHEN 2 * sum(le_1) >= sum(attempts) THEN 1 WHEN 2 * sum(le_2) >= sum(attempts) THEN 2
             WHEN 2 * sum(le_3) >= sum(attempts) THEN 3 WHEN 2 * sum(le_5) >= sum(attempts) THEN 5
             WHEN 2 * sum(le_10) >= sum(attempts) THEN 10 WHEN 2 * sum(le_20) >= sum(attempts) THEN 20
             WHEN 2 * sum(le_30) >= sum(attempts) THEN 30 WHEN 2 * sum(le_50) >= sum(attempts) THEN 50
             WHEN 2 * sum(le_100) >= sum(attempts) THEN 100 WHEN 2 * sum(le_200) >= sum(attempts) THEN 200
             WHEN 2 * sum(le_300) >= sum(attempts) THEN 300 WHEN 2 * sum(le_500) >= sum(attempts) THEN 500
             WHEN 2 * sum(le_1000) >= sum(attempts) THEN 1000 WHEN 2 * sum(le_2000) >= sum(attempts) THEN 2000
             WHEN 2 * sum(le_3000) >= sum(attempts) THEN 3000 WHEN 2 * sum(le_5000) >= sum(attempts) THEN 5000
             WHEN 2 * sum(le_10000) >= sum(attempts) THEN 10000
             ELSE 15000 END AS p50_ms,
           CASE
             WHEN 100 * sum(le_1) >= 99 * sum(attempts) THEN 1 WHEN 100 * sum(le_2) >= 99 * sum(attempts) THEN 2
             WHEN 100 * sum(le_3) >= 99 * sum(attempts) THEN 3 WHEN 100 * sum(le_5) >= 99 * sum(attempts) THEN 5
             WHEN 100 * sum(le_10) >= 99 * sum(attempts) THEN 10 WHEN 100 * sum(le_20) >= 99 * sum(attempts) THEN 20
             WHEN 100 * sum(le_30) >= 99 * sum(attempts) THEN 30 WHEN 100 * sum(le_50) >= 99 * sum(attempts) THEN 50
             WHEN 100 * sum(le_100) >= 99 * sum(attempts) THEN 100
             WHEN 100 * sum(le_200) >= 99 * sum(attempts) THEN 200
             WHEN 100 * sum(le_300) >= 99 * sum(attempts) THEN 300
             WHEN 100 * sum(le_500) >= 99 * sum(attempts) THEN 500
             WHEN 100 * sum(le_1000) >= 99 * sum(attempts) THEN 1000
             WHEN 100 * sum(le_2000) >= 99 * sum(attempts) THEN 2000
             WHEN 100 * sum(le_3000) >= 99 * sum(attempts) THEN 3000
             WHEN 100 * sum(le_5000) >= 99 * sum(attempts) THEN 5000
             WHEN 100 * sum(le_10000) >= 99 * sum(attempts) THEN 10000
             ELSE 15000 END AS p99_ms
      FROM rollup
     WHERE span = 'hour' AND start > CAST(strftime('%s', 'now') AS INTEGER) * 1000 - 86400000
     GROUP BY webhook) d ON d.webhook = w.name
 WHERE w.state <> 'removed';
