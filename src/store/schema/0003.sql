
-- Third shape. The view `health` counts a column and not `*`: DuckDB writes a view's text anew in words of its
-- own before it hands it to SQLite, and its word for the latter, count_star(), is none of SQLite's.
DROP VIEW health;

-- A row per webhook of the configuration. An hour is counted in steps of 5 minutes, a day in hours;
-- p50 and p99 are of the day, as the upper edge of their bucket.
CREATE VIEW health AS
SELECT w.name AS webhook,
       strftime('%Y-%m-%dT%H:%M:%fZ', w.last_success_at / 1000.0, 'unixepoch') AS last_success,
       strftime('%Y-%m-%dT%H:%M:%fZ', w.last_failure_at / 1000.0, 'unixepoch') AS last_failure,
       coalesce(h.attempts, 0) AS attempts_hour, coalesce(h.failures, 0) AS failures_hour,
       coalesce(d.attempts, 0) AS attempts_day, coalesce(d.failures, 0) AS failures_day,
       d.p50_ms, d.p99_ms,
       (SELECT count(q.id) FROM delivery q WHERE q.state = 'pending' AND q.webhook = w.name) AS pending,
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

-- And what a person should know of an attempt beside its result: that its request went out
-- twice, for the kept connection had died, or that its answer is odd. The view has it as its last column.
ALTER TABLE attempt ADD COLUMN note TEXT;
DROP VIEW log;
CREATE VIEW log AS
SELECT a.id,
       strftime('%Y-%m-%dT%H:%M:%fZ', a.time / 1000.0, 'unixepoch') AS time,
       a.webhook, d.event, d.event_id, a.delivery_id,
       a.number AS attempt, a.outcome, a.status, a.error,
       a.duration_us / 1000.0 AS duration_ms,
       a.url, a.request_headers, p.body AS request_body, a.response_headers, a.response_body,
       a.name_us / 1000.0 AS name_ms, a.connect_us / 1000.0 AS connect_ms,
       a.tls_us / 1000.0 AS tls_ms, a.head_us / 1000.0 AS head_ms, a.body_us / 1000.0 AS body_ms,
       a.peer, a.class, a.response_truncated, d.dialect, d.origin, a.note
  FROM attempt a
  LEFT JOIN delivery d ON d.id = a.delivery_id
  LEFT JOIN payload p ON p.id = d.payload_id;
