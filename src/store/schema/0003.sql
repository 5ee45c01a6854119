
-- Third shape. What a person should know of an attempt beside its result: that its request went out
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
