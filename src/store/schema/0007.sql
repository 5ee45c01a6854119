
-- Seventh shape: webhooks that begin no attempt, a row each. INSERT INTO pause (webhook) pauses one, DELETE
-- resumes it; to pause again replaces the row. `since`, `until`: UNIX milliseconds; `until` NULL: until the
-- row is deleted. One that is over is deleted by the daemon.
CREATE TABLE pause (
  webhook TEXT PRIMARY KEY ON CONFLICT REPLACE NOT NULL,
  since   INTEGER NOT NULL ON CONFLICT REPLACE
          DEFAULT (CAST(strftime('%s', 'now') AS INTEGER) * 1000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER)),
  until   INTEGER,
  reason  TEXT,
  CONSTRAINT "pause: since and until are UNIX milliseconds"
    CHECK (typeof(since) = 'integer' AND typeof(until) IN ('integer', 'null')),
  CONSTRAINT "pause: reason is text of up to 1,000 characters"
    CHECK (typeof(reason) = 'null' OR typeof(reason) = 'text' AND length(reason) <= 1000)
) WITHOUT ROWID;
CREATE TRIGGER pause_checked BEFORE INSERT ON pause BEGIN
  SELECT RAISE(ABORT, 'pause: no webhook has that name')
   WHERE NOT EXISTS (SELECT 1 FROM webhook WHERE name = NEW.webhook AND state <> 'removed');
END;
