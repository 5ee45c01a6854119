
-- Fifth shape: what is pending stands apart from the facts of what was done, and text that repeats is
-- stored once. The rows of the shape before stay in old_* until retention has emptied those; what of them
-- is pending comes over and is marked there by a due time that never comes.
DROP TRIGGER redelivery_made;
DROP TRIGGER redelivery_checked;
DROP VIEW health;
DROP VIEW failed;
DROP VIEW log;

-- Ids are never given twice: the newest mark, and what is there, say where they go on.
INSERT INTO mark (time, generation, event_id, attempt_id, delivery_id, payload_id, rejected_id, redelivery_id)
SELECT 0, 0, 0, 0, 0, 0, 0, 0
 WHERE NOT EXISTS (SELECT 1 FROM mark) AND EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'delivery' OR name = 'payload');
UPDATE mark
   SET attempt_id = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'attempt'), 0),
       delivery_id = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'delivery'), 0),
       payload_id = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'payload'), 0)
 WHERE time = (SELECT max(time) FROM mark);

ALTER TABLE attempt RENAME TO old_attempt;
ALTER TABLE delivery RENAME TO old_delivery;
ALTER TABLE payload RENAME TO old_payload;

-- What the rows of `attempt` have in common: URLs, addresses, headers. Two rows may hold the same text.
-- `used_at`: when it was last used, to the day.
CREATE TABLE text (
  id      INTEGER PRIMARY KEY,
  text    TEXT NOT NULL,
  used_at INTEGER NOT NULL
);

-- The names that webhooks have or had, for good.
CREATE TABLE webhook_name (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);

-- A body, once for all deliveries and attempts of its event in its dialect. `dialect`: 0 bold-cms,
-- 1 bold-factory, 2 openboxes-lift. `size` in bytes.
CREATE TABLE payload (
  id         INTEGER PRIMARY KEY,
  generation INTEGER NOT NULL,
  event_id   INTEGER NOT NULL,
  event      TEXT NOT NULL,
  dialect    NOT NULL,
  size       INTEGER NOT NULL,
  body       TEXT
);
CREATE INDEX payload_event ON payload (event_id);

-- What has not ended: `queued` is in the hands of the process that runs, or was in those of the one
-- before; no more than memory holds, so it has no index. All the rest is `parked`. A row goes when its
-- delivery ends. `origin`: 0 event, 1 redelivery, 2 replay, 3 test.
CREATE TABLE queued (
  id         INTEGER PRIMARY KEY,
  webhook_id INTEGER NOT NULL,
  payload_id INTEGER NOT NULL,
  origin     INTEGER NOT NULL,
  attempts   INTEGER NOT NULL,
  due_at     INTEGER NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE TABLE parked (
  id         INTEGER PRIMARY KEY,
  webhook_id INTEGER NOT NULL,
  payload_id INTEGER NOT NULL,
  origin     INTEGER NOT NULL,
  attempts   INTEGER NOT NULL,
  due_at     INTEGER NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX parked_due ON parked (webhook_id, due_at);
CREATE INDEX parked_payload ON parked (payload_id);

-- One POST, with the facts of its delivery: one that succeeds at once is this row alone. `outcome`: 0
-- retry, 1 delivered, 2 failed, 3 delivered though it had been before. `waited`: from the delivery's begin
-- to the attempt's, `took`: to the attempt's end, milliseconds. An integer in url, peer, request_headers,
-- response_headers is a row of `text`; {length} in there is the payload's size, {signature} the
-- signature, {date} the attempt's second and so many more. What spills comes last.
CREATE TABLE attempt (
  id                 INTEGER PRIMARY KEY,
  delivery_id        INTEGER NOT NULL,
  payload_id         INTEGER NOT NULL,
  webhook_id         INTEGER NOT NULL,
  origin             INTEGER NOT NULL,
  number             INTEGER NOT NULL,
  time               INTEGER NOT NULL,
  waited             INTEGER NOT NULL,
  took               INTEGER NOT NULL,
  outcome            INTEGER NOT NULL,
  status             INTEGER,
  duration_us        INTEGER NOT NULL,
  name_us            INTEGER,
  connect_us         INTEGER,
  tls_us             INTEGER,
  head_us            INTEGER,
  body_us            INTEGER,
  url                NOT NULL,
  peer,
  class              TEXT,
  error              TEXT,
  note               TEXT,
  signature,
  request_headers    NOT NULL,
  response_date      INTEGER,
  response_truncated INTEGER,
  response_headers,
  response_body
);
CREATE INDEX attempt_of_delivery ON attempt (delivery_id);
CREATE INDEX attempt_of_payload ON attempt (payload_id);

-- Which webhooks have attempts among the ids of a block of 1,024, in place of an index with a row for each.
CREATE TABLE seen (
  webhook_id INTEGER NOT NULL,
  block      INTEGER NOT NULL,
  PRIMARY KEY (webhook_id, block)
) WITHOUT ROWID;

-- What ended without being delivered. `state`: 0 failed, 1 cancelled.
CREATE TABLE ended (
  id          INTEGER PRIMARY KEY,
  webhook_id  INTEGER NOT NULL,
  payload_id  INTEGER NOT NULL,
  origin      INTEGER NOT NULL,
  state       INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  finished_at INTEGER NOT NULL
);
CREATE INDEX ended_webhook ON ended (webhook_id, state);
CREATE INDEX ended_payload ON ended (payload_id);

-- Those who have names, and the bodies that are owed. What is pending comes over in steps (earlier.rs): until it has,
-- the index is there by which it is found.
UPDATE old_delivery SET due_at = created_at WHERE state = 'pending' AND due_at IS NULL;
INSERT INTO webhook_name (name) SELECT name FROM webhook;
INSERT INTO payload (id, generation, event_id, event, dialect, size, body)
SELECT p.id, p.generation, p.event_id, o.event,
       CASE p.dialect WHEN 'bold-cms' THEN 0 WHEN 'bold-factory' THEN 1 WHEN 'openboxes-lift' THEN 2 ELSE p.dialect END,
       length(CAST(p.body AS BLOB)), p.body
  FROM (SELECT payload_id, max(event) AS event FROM owed GROUP BY payload_id) o
  JOIN old_payload p ON p.id = o.payload_id;
