
-- One event for one webhook.
CREATE VIEW delivery AS
SELECT x.id AS id, p.generation, p.event_id, p.event, (SELECT n.name FROM webhook_name n WHERE n.id = x.webhook_id) AS webhook,
       CASE p.dialect WHEN 0 THEN 'bold-cms' WHEN 1 THEN 'bold-factory' WHEN 2 THEN 'openboxes-lift' WHEN 3 THEN 'standard-webhooks' ELSE p.dialect END AS dialect,
       'pending' AS state,
       CASE x.origin WHEN 0 THEN 'event' WHEN 1 THEN 'redelivery' WHEN 2 THEN 'replay' ELSE 'test' END AS origin,
       x.attempts AS attempts, +x.due_at AS due_at, +x.created_at AS created_at, NULL AS finished_at, x.payload_id
  FROM queued x LEFT JOIN payload p ON p.id = x.payload_id
UNION ALL
SELECT x.id AS id, p.generation, p.event_id, p.event, (SELECT n.name FROM webhook_name n WHERE n.id = x.webhook_id) AS webhook,
       CASE p.dialect WHEN 0 THEN 'bold-cms' WHEN 1 THEN 'bold-factory' WHEN 2 THEN 'openboxes-lift' WHEN 3 THEN 'standard-webhooks' ELSE p.dialect END AS dialect,
       'pending' AS state,
       CASE x.origin WHEN 0 THEN 'event' WHEN 1 THEN 'redelivery' WHEN 2 THEN 'replay' ELSE 'test' END AS origin,
       x.attempts AS attempts, nullif(x.due_at, 9223372036854775807) AS due_at, +x.created_at AS created_at, NULL AS finished_at, x.payload_id
  FROM parked x LEFT JOIN payload p ON p.id = x.payload_id
UNION ALL
SELECT x.delivery_id AS id, p.generation, p.event_id, p.event, (SELECT n.name FROM webhook_name n WHERE n.id = x.webhook_id) AS webhook,
       CASE p.dialect WHEN 0 THEN 'bold-cms' WHEN 1 THEN 'bold-factory' WHEN 2 THEN 'openboxes-lift' WHEN 3 THEN 'standard-webhooks' ELSE p.dialect END AS dialect,
       'delivered' AS state,
       CASE x.origin WHEN 0 THEN 'event' WHEN 1 THEN 'redelivery' WHEN 2 THEN 'replay' ELSE 'test' END AS origin,
       x.number AS attempts, NULL AS due_at, x.time - x.waited AS created_at, x.time + x.took AS finished_at, x.payload_id
  FROM attempt x LEFT JOIN payload p ON p.id = x.payload_id
 WHERE x.outcome = 1
UNION ALL
SELECT x.id AS id, p.generation, p.event_id, p.event, (SELECT n.name FROM webhook_name n WHERE n.id = x.webhook_id) AS webhook,
       CASE p.dialect WHEN 0 THEN 'bold-cms' WHEN 1 THEN 'bold-factory' WHEN 2 THEN 'openboxes-lift' WHEN 3 THEN 'standard-webhooks' ELSE p.dialect END AS dialect,
       'failed' AS state,
       CASE x.origin WHEN 0 THEN 'event' WHEN 1 THEN 'redelivery' WHEN 2 THEN 'replay' ELSE 'test' END AS origin,
       x.attempts AS attempts, NULL AS due_at, +x.created_at AS created_at, +x.finished_at AS finished_at, x.payload_id
  FROM ended x LEFT JOIN payload p ON p.id = x.payload_id
 WHERE x.state = 0
UNION ALL
SELECT x.id AS id, p.generation, p.event_id, p.event, (SELECT n.name FROM webhook_name n WHERE n.id = x.webhook_id) AS webhook,
       CASE p.dialect WHEN 0 THEN 'bold-cms' WHEN 1 THEN 'bold-factory' WHEN 2 THEN 'openboxes-lift' WHEN 3 THEN 'standard-webhooks' ELSE p.dialect END AS dialect,
       'cancelled' AS state,
       CASE x.origin WHEN 0 THEN 'event' WHEN 1 THEN 'redelivery' WHEN 2 THEN 'replay' ELSE 'test' END AS origin,
       x.attempts AS attempts, NULL AS due_at, +x.created_at AS created_at, +x.finished_at AS finished_at, x.payload_id
  FROM ended x LEFT JOIN payload p ON p.id = x.payload_id
 WHERE x.state = 1
-- earlier {
UNION ALL
SELECT id, generation, event_id, event, webhook, +dialect, 'delivered' AS state, +origin, attempts, +due_at, +created_at, +finished_at, payload_id
  FROM old_delivery WHERE state = 'delivered'
UNION ALL
SELECT id, generation, event_id, event, webhook, +dialect, 'failed' AS state, +origin, attempts, +due_at, +created_at, +finished_at, payload_id
  FROM old_delivery WHERE state = 'failed'
UNION ALL
SELECT id, generation, event_id, event, webhook, +dialect, 'cancelled' AS state, +origin, attempts, +due_at, +created_at, +finished_at, payload_id
  FROM old_delivery WHERE state = 'cancelled'
-- pending earlier {
UNION ALL
SELECT id, generation, event_id, event, webhook, +dialect, 'pending' AS state, +origin, attempts, +due_at, +created_at, NULL AS finished_at, payload_id
  FROM old_delivery WHERE state = 'pending' AND due_at < 9223372036854775807
-- } pending earlier
-- } earlier
;

-- INSERT INTO redelivery (delivery_id) sends a delivery again: the triggers make the new one.
CREATE TRIGGER redelivery_checked BEFORE INSERT ON redelivery BEGIN
  SELECT RAISE(ABORT, 'redelivery: no delivery has that id')
   WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE id = NEW.delivery_id);
  SELECT RAISE(ABORT, 'redelivery: that delivery is still pending')
   WHERE (SELECT state FROM delivery WHERE id = NEW.delivery_id) = 'pending';
  SELECT RAISE(ABORT, 'redelivery: the body of that delivery was not kept')
   WHERE EXISTS (SELECT 1 FROM delivery d JOIN payload p ON p.id = d.payload_id
                  WHERE d.id = NEW.delivery_id AND p.body IS NULL)
-- earlier {
     AND NOT EXISTS (SELECT 1 FROM old_delivery d JOIN old_payload p ON p.id = d.payload_id
                      WHERE d.id = NEW.delivery_id AND p.body IS NOT NULL)
-- } earlier
  ;
END;
CREATE TRIGGER redelivery_made AFTER INSERT ON redelivery BEGIN
  UPDATE redelivery
     SET new_delivery_id = 1 + max(coalesce((SELECT max(id) FROM queued), 0), coalesce((SELECT max(id) FROM parked), 0),
                                   coalesce((SELECT max(id) FROM ended), 0), coalesce((SELECT max(delivery_id) FROM attempt), 0),
                                   coalesce((SELECT delivery_id FROM mark ORDER BY time DESC LIMIT 1), 0)),
         time = CAST(strftime('%s', 'now') AS INTEGER) * 1000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER)
   WHERE id = NEW.id;
-- earlier {
  INSERT OR IGNORE INTO webhook_name (name) SELECT webhook FROM old_delivery WHERE id = NEW.delivery_id;
  INSERT INTO payload (id, generation, event_id, event, dialect, size, body)
  SELECT p.id, p.generation, p.event_id, d.event,
         CASE p.dialect WHEN 'bold-cms' THEN 0 WHEN 'bold-factory' THEN 1 WHEN 'openboxes-lift' THEN 2 ELSE p.dialect END,
         length(CAST(p.body AS BLOB)), p.body
    FROM old_delivery d JOIN old_payload p ON p.id = d.payload_id WHERE d.id = NEW.delivery_id
      ON CONFLICT (id) DO UPDATE SET body = excluded.body WHERE body IS NULL;
-- } earlier
  INSERT INTO parked (id, webhook_id, payload_id, origin, attempts, due_at, created_at)
  SELECT (SELECT new_delivery_id FROM redelivery WHERE id = NEW.id),
         (SELECT n.id FROM webhook_name n WHERE n.name = d.webhook), d.payload_id, 1, 0,
         (SELECT time FROM redelivery WHERE id = NEW.id), (SELECT time FROM redelivery WHERE id = NEW.id)
    FROM delivery d WHERE d.id = NEW.delivery_id;
END;

-- A row per attempt. LEFT JOIN, so that a count does not look anything up.
CREATE VIEW log AS
SELECT x.id,
       strftime('%Y-%m-%dT%H:%M:%fZ', x.time / 1000.0, 'unixepoch') AS time,
       (SELECT n.name FROM webhook_name n WHERE n.id = x.webhook_id) AS webhook,
       p.event, p.event_id, x.delivery_id, x.number AS attempt,
       CASE x.outcome WHEN 0 THEN 'retry' WHEN 2 THEN 'failed' ELSE 'delivered' END AS outcome, x.status, x.error,
       x.duration_us / 1000.0 AS duration_ms,
       CASE typeof(x.url) WHEN 'integer' THEN (SELECT t.text FROM text t WHERE t.id = x.url) ELSE x.url END AS url,
       CASE typeof(x.request_headers) WHEN 'integer' THEN
         (SELECT replace(replace(t.text, '{length}', coalesce(p.size, '?')),
                         '{signature}', CASE typeof(x.signature) WHEN 'text' THEN x.signature ELSE coalesce(lower(hex(x.signature)), '') END)
            FROM text t WHERE t.id = x.request_headers)
       ELSE x.request_headers END AS request_headers,
       p.body AS request_body,
       CASE WHEN x.response_date IS NULL THEN CASE typeof(x.response_headers) WHEN 'integer' THEN (SELECT t.text FROM text t WHERE t.id = x.response_headers) ELSE x.response_headers END
       ELSE (SELECT replace(t.text, '{date}',
                 substr('SunMonTueWedThuFriSat', 1 + 3 * strftime('%w', x.time / 1000 + x.response_date, 'unixepoch'), 3)
                 || strftime(', %d ', x.time / 1000 + x.response_date, 'unixepoch')
                 || substr('JanFebMarAprMayJunJulAugSepOctNovDec', 3 * strftime('%m', x.time / 1000 + x.response_date, 'unixepoch') - 2, 3)
                 || strftime(' %Y %H:%M:%S GMT', x.time / 1000 + x.response_date, 'unixepoch'))
               FROM text t WHERE t.id = x.response_headers) END AS response_headers,
       CASE typeof(x.response_body) WHEN 'integer' THEN (SELECT o.response_body FROM posted o WHERE o.first_attempt_id = x.response_body)
       ELSE x.response_body END AS response_body,
       x.name_us / 1000.0 AS name_ms, x.connect_us / 1000.0 AS connect_ms,
       x.tls_us / 1000.0 AS tls_ms, x.head_us / 1000.0 AS head_ms, x.body_us / 1000.0 AS body_ms,
       CASE typeof(x.peer) WHEN 'integer' THEN (SELECT t.text FROM text t WHERE t.id = x.peer) ELSE x.peer END AS peer, x.class, x.response_truncated,
       CASE p.dialect WHEN 0 THEN 'bold-cms' WHEN 1 THEN 'bold-factory' WHEN 2 THEN 'openboxes-lift' WHEN 3 THEN 'standard-webhooks' ELSE p.dialect END AS dialect,
       CASE x.origin WHEN 0 THEN 'event' WHEN 1 THEN 'redelivery' WHEN 2 THEN 'replay' ELSE 'test' END AS origin, x.note,
       (SELECT CASE WHEN o.last_attempt_id >= x.id THEN o.batch END
          FROM posted o WHERE o.first_attempt_id <= x.id ORDER BY o.first_attempt_id DESC LIMIT 1) AS batch,
       x.proxy_us / 1000.0 AS proxy_ms
  FROM attempt x LEFT JOIN payload p ON p.id = x.payload_id
-- earlier {
UNION ALL
SELECT a.id,
       strftime('%Y-%m-%dT%H:%M:%fZ', a.time / 1000.0, 'unixepoch'),
       a.webhook, d.event, d.event_id, a.delivery_id,
       a.number, +a.outcome, a.status, a.error,
       a.duration_us / 1000.0,
       +a.url, +a.request_headers, p.body, +a.response_headers, +a.response_body,
       a.name_us / 1000.0, a.connect_us / 1000.0, a.tls_us / 1000.0, a.head_us / 1000.0, a.body_us / 1000.0,
       +a.peer, a.class, a.response_truncated, +d.dialect, +d.origin, a.note, NULL, NULL
  FROM old_attempt a
  LEFT JOIN old_delivery d ON d.id = a.delivery_id
  LEFT JOIN old_payload p ON p.id = d.payload_id
-- } earlier
;

-- Deliveries given up that nobody has sent again. One that holds its line stays here, but while it is being sent again,
-- and stands for what it was sent again as and failed too. Of those the ones before the last are not here either.
CREATE VIEW failed AS
SELECT x.id AS delivery_id, (SELECT n.name FROM webhook_name n WHERE n.id = x.webhook_id) AS webhook, p.event, p.event_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', x.finished_at / 1000.0, 'unixepoch') AS failed_at, x.attempts,
       (SELECT a.status FROM attempt a WHERE a.delivery_id = x.id ORDER BY a.id DESC LIMIT 1) AS status,
       (SELECT a.error FROM attempt a WHERE a.delivery_id = x.id ORDER BY a.id DESC LIMIT 1) AS error
  FROM ended x LEFT JOIN payload p ON p.id = x.payload_id
 WHERE x.state = 0 AND x.origin <> 3
   AND (NOT EXISTS (SELECT 1 FROM redelivery r WHERE r.delivery_id = x.id)
        OR EXISTS (SELECT 1 FROM turn t WHERE t.delivery_id = x.id AND t.state = 1)
           AND NOT EXISTS (SELECT 1 FROM ended o INDEXED BY ended_payload JOIN redelivery r ON r.delivery_id = o.id
                            WHERE o.payload_id = x.payload_id AND o.webhook_id = x.webhook_id
                              AND (EXISTS (SELECT 1 FROM queued q WHERE q.id = r.new_delivery_id)
                                   OR EXISTS (SELECT 1 FROM parked k WHERE k.id = r.new_delivery_id))))
   AND NOT (x.origin = 1
            AND EXISTS (SELECT 1 FROM ended o INDEXED BY ended_payload
                         WHERE o.payload_id = x.payload_id AND o.webhook_id = x.webhook_id
                           AND (EXISTS (SELECT 1 FROM turn t WHERE t.delivery_id = o.id AND t.state = 1)
                                OR EXISTS (SELECT 1 FROM redelivery r WHERE r.delivery_id = o.id AND r.new_delivery_id > x.id))))
-- earlier {
UNION ALL
SELECT d.id, d.webhook, d.event, d.event_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', d.finished_at / 1000.0, 'unixepoch'), d.attempts,
       (SELECT a.status FROM old_attempt a WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1),
       (SELECT a.error FROM old_attempt a WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1)
  FROM old_delivery d
 WHERE d.state = 'failed' AND d.origin <> 'test'
   AND NOT EXISTS (SELECT 1 FROM redelivery r WHERE r.delivery_id = d.id)
-- } earlier
;

-- What waits for its turn, by `in_order` of its webhook, and which delivery has the turn. `held_by_state` is 'failed'
-- where that was given up and holds what is behind it, since then; 'cancelled' where it was while its attempt is under
-- way, whose end is waited for; else it is since its own begin.
CREATE VIEW held AS
SELECT x.id AS delivery_id, (SELECT n.name FROM webhook_name n WHERE n.id = x.webhook_id) AS webhook, p.event, p.event_id,
       h.delivery_id AS held_by, CASE h.state WHEN 1 THEN 'failed' WHEN 2 THEN 'cancelled' ELSE 'pending' END AS held_by_state,
       strftime('%Y-%m-%dT%H:%M:%fZ', coalesce(h.since, x.created_at) / 1000.0, 'unixepoch') AS since
  FROM parked x JOIN turn t ON t.delivery_id = x.id
  JOIN turn h ON h.delivery_id = (SELECT min(u.delivery_id) FROM turn u WHERE u.webhook_id = t.webhook_id AND u.value = t.value)
  LEFT JOIN payload p ON p.id = x.payload_id
 WHERE x.due_at = 9223372036854775807;

-- A row per webhook of the configuration. An hour is counted in steps of 5 minutes, a day in hours;
-- p50 and p99 are of the day, as the upper edge of their bucket.
CREATE VIEW health AS
SELECT w.name AS webhook,
       strftime('%Y-%m-%dT%H:%M:%fZ', w.last_success_at / 1000.0, 'unixepoch') AS last_success,
       strftime('%Y-%m-%dT%H:%M:%fZ', w.last_failure_at / 1000.0, 'unixepoch') AS last_failure,
       coalesce(h.attempts, 0) AS attempts_hour, coalesce(h.failures, 0) AS failures_hour,
       coalesce(d.attempts, 0) AS attempts_day, coalesce(d.failures, 0) AS failures_day,
       d.p50_ms, d.p99_ms,
       coalesce((SELECT q.count FROM (SELECT webhook_id, count(id) AS count FROM queued GROUP BY webhook_id) q
                  WHERE q.webhook_id = n.id), 0)
       + (SELECT count(k.id) FROM parked k WHERE k.webhook_id = n.id)
-- earlier {
-- pending earlier {
       + (SELECT count(d.id) FROM old_delivery d WHERE d.state = 'pending' AND d.webhook = w.name AND d.due_at < 9223372036854775807)
-- } pending earlier
-- } earlier
       AS pending,
       w.last_error, w.state,
       strftime('%Y-%m-%dT%H:%M:%fZ', z.since / 1000.0, 'unixepoch') AS paused_since,
       strftime('%Y-%m-%dT%H:%M:%fZ', z.until / 1000.0, 'unixepoch') AS paused_until,
       z.reason AS paused_reason
  FROM webhook w
  LEFT JOIN pause z ON z.webhook = w.name
       AND (z.until IS NULL OR z.until > CAST(strftime('%s', 'now') AS INTEGER) * 1000)
  LEFT JOIN webhook_name n ON n.name = w.name
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
             ELSE coalesce((SELECT t.above_ms FROM patient t WHERE t.webhook = rollup.webhook), 15000) END AS p50_ms,
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
             ELSE coalesce((SELECT t.above_ms FROM patient t WHERE t.webhook = rollup.webhook), 15000) END AS p99_ms
      FROM rollup
     WHERE span = 'hour' AND start > CAST(strftime('%s', 'now') AS INTEGER) * 1000 - 86400000
     GROUP BY webhook) d ON d.webhook = w.name
 WHERE w.state <> 'removed';
