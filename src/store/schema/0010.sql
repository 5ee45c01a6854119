
-- Tenth shape: webhooks that begin no attempt, a row each. INSERT INTO pause (webhook) pauses one, DELETE
-- resumes it; to pause again replaces the row. `since`, `until`: UNIX milliseconds; `until` NULL: until the
-- row is deleted. One that is over is deleted by the daemon.
CREATE TABLE pause (
  webhook TEXT PRIMARY KEY ON CONFLICT REPLACE NOT NULL,
  since   INTEGER NOT NULL ON CONFLICT REPLACE
          DEFAULT (CAST(strftime('%s', 'now') AS INTEGER) * 1000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER)),
  until   INTEGER,
  reason  TEXT,
  CONSTRAINT "pause: since and until are UNIX milliseconds"
    CHECK (typeof(since) = 'integer' AND (until IS NULL OR typeof(until) = 'integer' AND until > 100000000000)),
  CONSTRAINT "pause: reason is text of up to 1,000 characters"
    CHECK (typeof(reason) = 'null' OR typeof(reason) = 'text' AND length(reason) <= 1000)
) WITHOUT ROWID;
CREATE TRIGGER pause_checked BEFORE INSERT ON pause BEGIN
  SELECT RAISE(ABORT, 'pause: no webhook has that name')
   WHERE NOT EXISTS (SELECT 1 FROM webhook WHERE name = NEW.webhook AND state <> 'removed');
END;

-- Of webhooks with `auto_pause`: since when every attempt failed, and how many did.
CREATE TABLE streak (
  webhook  TEXT PRIMARY KEY NOT NULL,
  since    INTEGER NOT NULL,
  failures INTEGER NOT NULL
) WITHOUT ROWID;
-- Pauses of webhooks that paused themselves: how many tries were made since, and when the next is.
CREATE TABLE self_paused (
  webhook TEXT PRIMARY KEY NOT NULL,
  tries   INTEGER NOT NULL,
  next_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER pause_replaced AFTER INSERT ON pause BEGIN
  DELETE FROM self_paused WHERE webhook = NEW.webhook;
END;
CREATE TRIGGER pause_ended AFTER DELETE ON pause BEGIN
  DELETE FROM self_paused WHERE webhook = OLD.webhook;
  DELETE FROM streak WHERE webhook = OLD.webhook;
END;
