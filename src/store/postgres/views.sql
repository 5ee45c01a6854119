-- What people and programs read, with the names, columns and units of the views in SQLite.

-- One event for one webhook.
CREATE OR REPLACE VIEW webhooksd.delivery AS
SELECT x.id, p.generation, p.event_id, p.event, x.webhook, p.dialect, 'pending'::text AS state, x.origin, x.attempts,
       x.due_at, x.created_at, NULL::bigint AS finished_at, x.payload_id
  FROM webhooksd.pending x LEFT JOIN webhooksd.payload p ON p.id = x.payload_id
UNION ALL
SELECT x.delivery_id, p.generation, p.event_id, p.event, x.webhook, p.dialect, 'delivered', x.origin, x.number,
       NULL, x.time - x.waited, x.time + x.took, x.payload_id
  FROM webhooksd.attempt x LEFT JOIN webhooksd.payload p ON p.id = x.payload_id
 WHERE x.outcome = 'delivered'
UNION ALL
SELECT x.id, p.generation, p.event_id, p.event, x.webhook, p.dialect, x.state, x.origin, x.attempts,
       NULL, x.created_at, x.finished_at, x.payload_id
  FROM webhooksd.ended x LEFT JOIN webhooksd.payload p ON p.id = x.payload_id;

-- A row per attempt.
CREATE OR REPLACE VIEW webhooksd.log AS
SELECT x.id, to_char(to_timestamp((x.time) / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS time,
       x.webhook, p.event, p.event_id, x.delivery_id, x.number AS attempt,
       CASE x.outcome WHEN 'again' THEN 'delivered' ELSE x.outcome END AS outcome, x.status, x.error,
       (x.duration_us / 1000.0)::float8 AS duration_ms, x.url, x.request_headers, p.body AS request_body,
       x.response_headers, x.response_body,
       (x.name_us / 1000.0)::float8 AS name_ms, (x.connect_us / 1000.0)::float8 AS connect_ms,
       (x.tls_us / 1000.0)::float8 AS tls_ms, (x.head_us / 1000.0)::float8 AS head_ms,
       (x.body_us / 1000.0)::float8 AS body_ms,
       x.peer, x.class, x.response_truncated::int AS response_truncated, p.dialect, x.origin, x.note, x.batch,
       (x.proxy_us / 1000.0)::float8 AS proxy_ms
  FROM webhooksd.attempt x LEFT JOIN webhooksd.payload p ON p.id = x.payload_id;

-- Deliveries given up that can be sent again. One that holds its line stays here, but while it is being sent again, and
-- stands for what it was sent again as and failed too. Of those the ones before the last are not here either.
-- `by_order` and `payload_id` are for who lists what ended otherwise.
CREATE OR REPLACE VIEW webhooksd.again AS
SELECT x.*
  FROM webhooksd.ended x
 WHERE x.origin <> 'test' AND NOT x.by_order
   AND (NOT EXISTS (SELECT FROM webhooksd.redelivery r WHERE r.delivery_id = x.id)
        OR EXISTS (SELECT FROM webhooksd.turn t WHERE t.delivery_id = x.id AND t.state = 'failed')
           AND NOT EXISTS (SELECT FROM webhooksd.ended o JOIN webhooksd.redelivery r ON r.delivery_id = o.id
                            WHERE o.payload_id = x.payload_id AND o.webhook = x.webhook
                              AND EXISTS (SELECT FROM webhooksd.pending q WHERE q.id = r.new_delivery_id)))
   AND NOT (x.origin = 'redelivery'
            AND EXISTS (SELECT FROM webhooksd.ended o
                         WHERE o.payload_id = x.payload_id AND o.webhook = x.webhook
                           AND (EXISTS (SELECT FROM webhooksd.turn t WHERE t.delivery_id = o.id AND t.state = 'failed')
                                OR EXISTS (SELECT FROM webhooksd.redelivery r
                                            WHERE r.delivery_id = o.id AND r.new_delivery_id > x.id))));

CREATE OR REPLACE VIEW webhooksd.failed AS
SELECT x.id AS delivery_id, x.webhook, p.event, p.event_id,
       to_char(to_timestamp((x.finished_at) / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS failed_at, x.attempts, a.status, a.error
  FROM webhooksd.again x LEFT JOIN webhooksd.payload p ON p.id = x.payload_id
  LEFT JOIN LATERAL (SELECT l.status, l.error FROM webhooksd.attempt l
                      WHERE l.delivery_id = x.id AND l.id > x.id - 88473600000 ORDER BY l.id DESC LIMIT 1) a ON true
 WHERE x.state = 'failed';

-- What waits for its turn, and which delivery has the turn.
CREATE OR REPLACE VIEW webhooksd.held AS
SELECT x.id AS delivery_id, x.webhook, p.event, p.event_id, h.delivery_id AS held_by,
       coalesce(h.state, 'pending') AS held_by_state,
       to_char(to_timestamp((coalesce(h.since, x.created_at)) / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS since
  FROM webhooksd.pending x JOIN webhooksd.turn t ON t.delivery_id = x.id
  JOIN LATERAL (SELECT u.* FROM webhooksd.turn u WHERE u.webhook = t.webhook AND u.value = t.value
                 ORDER BY u.delivery_id LIMIT 1) h ON true
  LEFT JOIN webhooksd.payload p ON p.id = x.payload_id
 WHERE x.due_at IS NULL;

-- A row per webhook of the configuration. An hour is counted in steps of 5 minutes, a day in hours; p50 and p99 are of
-- the day, as the upper edge of their bucket.
CREATE OR REPLACE VIEW webhooksd.health AS
SELECT w.name AS webhook,
       to_char(to_timestamp((w.last_success_at) / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS last_success,
       to_char(to_timestamp((w.last_failure_at) / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS last_failure,
       coalesce(h.attempts, 0)::bigint AS attempts_hour, coalesce(h.failures, 0)::bigint AS failures_hour,
       coalesce(d.attempts, 0)::bigint AS attempts_day, coalesce(d.failures, 0)::bigint AS failures_day,
       d.p50_ms, d.p99_ms,
       (SELECT count(k.id) FROM webhooksd.pending k WHERE k.webhook = w.name) AS pending,
       w.last_error, w.state,
       to_char(to_timestamp((z.since) / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS paused_since,
       to_char(to_timestamp((z.until) / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS paused_until,
       z.reason AS paused_reason
  FROM webhooksd.webhook w
  LEFT JOIN webhooksd.pause z ON z.webhook = w.name AND (z.until IS NULL OR z.until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
  LEFT JOIN (
    SELECT webhook, sum(attempts) AS attempts, sum(failures) AS failures
      FROM webhooksd.rollup WHERE span = '5min' AND start > (extract(epoch FROM clock_timestamp()) * 1000)::bigint - 3600000
     GROUP BY webhook) h ON h.webhook = w.name
  LEFT JOIN (
    SELECT r.webhook, sum(attempts) AS attempts, sum(failures) AS failures,
           CASE
             WHEN 2 * sum(le_1) >= sum(attempts) THEN 1
             WHEN 2 * sum(le_2) >= sum(attempts) THEN 2
             WHEN 2 * sum(le_3) >= sum(attempts) THEN 3
             WHEN 2 * sum(le_5) >= sum(attempts) THEN 5
             WHEN 2 * sum(le_10) >= sum(attempts) THEN 10
             WHEN 2 * sum(le_20) >= sum(attempts) THEN 20
             WHEN 2 * sum(le_30) >= sum(attempts) THEN 30
             WHEN 2 * sum(le_50) >= sum(attempts) THEN 50
             WHEN 2 * sum(le_100) >= sum(attempts) THEN 100
             WHEN 2 * sum(le_200) >= sum(attempts) THEN 200
             WHEN 2 * sum(le_300) >= sum(attempts) THEN 300
             WHEN 2 * sum(le_500) >= sum(attempts) THEN 500
             WHEN 2 * sum(le_1000) >= sum(attempts) THEN 1000
             WHEN 2 * sum(le_2000) >= sum(attempts) THEN 2000
             WHEN 2 * sum(le_3000) >= sum(attempts) THEN 3000
             WHEN 2 * sum(le_5000) >= sum(attempts) THEN 5000
             WHEN 2 * sum(le_10000) >= sum(attempts) THEN 10000
             ELSE coalesce((SELECT t.above_ms FROM webhooksd.webhook t WHERE t.name = r.webhook), 15000) END AS p50_ms,
           CASE
             WHEN 100 * sum(le_1) >= 99 * sum(attempts) THEN 1
             WHEN 100 * sum(le_2) >= 99 * sum(attempts) THEN 2
             WHEN 100 * sum(le_3) >= 99 * sum(attempts) THEN 3
             WHEN 100 * sum(le_5) >= 99 * sum(attempts) THEN 5
             WHEN 100 * sum(le_10) >= 99 * sum(attempts) THEN 10
             WHEN 100 * sum(le_20) >= 99 * sum(attempts) THEN 20
             WHEN 100 * sum(le_30) >= 99 * sum(attempts) THEN 30
             WHEN 100 * sum(le_50) >= 99 * sum(attempts) THEN 50
             WHEN 100 * sum(le_100) >= 99 * sum(attempts) THEN 100
             WHEN 100 * sum(le_200) >= 99 * sum(attempts) THEN 200
             WHEN 100 * sum(le_300) >= 99 * sum(attempts) THEN 300
             WHEN 100 * sum(le_500) >= 99 * sum(attempts) THEN 500
             WHEN 100 * sum(le_1000) >= 99 * sum(attempts) THEN 1000
             WHEN 100 * sum(le_2000) >= 99 * sum(attempts) THEN 2000
             WHEN 100 * sum(le_3000) >= 99 * sum(attempts) THEN 3000
             WHEN 100 * sum(le_5000) >= 99 * sum(attempts) THEN 5000
             WHEN 100 * sum(le_10000) >= 99 * sum(attempts) THEN 10000
             ELSE coalesce((SELECT t.above_ms FROM webhooksd.webhook t WHERE t.name = r.webhook), 15000) END AS p99_ms
      FROM webhooksd.rollup r WHERE span = 'hour' AND start > (extract(epoch FROM clock_timestamp()) * 1000)::bigint - 86400000
     GROUP BY r.webhook) d ON d.webhook = w.name
 WHERE w.state <> 'removed';

-- INSERT INTO redelivery (delivery_id) sends a delivery again: the trigger makes the new one. It does so by the rights of
-- the log's owner, as the others here: whoever may INSERT needs no more.
CREATE OR REPLACE FUNCTION webhooksd.redeliver() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old record;
BEGIN
  SELECT d.state, d.webhook, d.payload_id, p.body IS NULL AS is_bare INTO old
    FROM webhooksd.delivery d LEFT JOIN webhooksd.payload p ON p.id = d.payload_id WHERE d.id = NEW.delivery_id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'redelivery: no delivery has that id';
  ELSIF old.state = 'pending' THEN
    RAISE EXCEPTION 'redelivery: that delivery is still pending';
  ELSIF old.is_bare THEN
    RAISE EXCEPTION 'redelivery: the body of that delivery was not kept';
  END IF;
  NEW.time := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
  INSERT INTO webhooksd.pending (webhook, payload_id, origin, due_at, created_at)
  VALUES (old.webhook, old.payload_id, 'redelivery', NEW.time, NEW.time) RETURNING id INTO NEW.new_delivery_id;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER redelivery BEFORE INSERT ON webhooksd.redelivery FOR EACH ROW EXECUTE FUNCTION webhooksd.redeliver();

-- INSERT INTO pause (webhook) pauses one, also in the place of the pause that it has; DELETE resumes it.
CREATE OR REPLACE FUNCTION webhooksd.pause_checked() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM webhooksd.webhook WHERE name = NEW.webhook AND state <> 'removed') THEN
    RAISE EXCEPTION 'pause: no webhook has that name';
  END IF;
  NEW.since := coalesce(NEW.since, (extract(epoch FROM clock_timestamp()) * 1000)::bigint);
  DELETE FROM webhooksd.pause WHERE webhook = NEW.webhook;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER pause_checked BEFORE INSERT ON webhooksd.pause FOR EACH ROW EXECUTE FUNCTION webhooksd.pause_checked();

CREATE OR REPLACE FUNCTION webhooksd.pause_of_one() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'a pause is of one webhook: delete the row, and insert another';
END $$;
CREATE OR REPLACE TRIGGER pause_of_one BEFORE UPDATE OF webhook ON webhooksd.pause FOR EACH ROW
  WHEN (NEW.webhook IS DISTINCT FROM OLD.webhook) EXECUTE FUNCTION webhooksd.pause_of_one();

CREATE OR REPLACE FUNCTION webhooksd.pause_ended() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM webhooksd.self_paused WHERE webhook = OLD.webhook;
  DELETE FROM webhooksd.streak WHERE webhook = OLD.webhook;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER pause_ended AFTER DELETE ON webhooksd.pause FOR EACH ROW EXECUTE FUNCTION webhooksd.pause_ended();
