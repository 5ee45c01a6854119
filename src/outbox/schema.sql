CREATE TABLE outbox (
  id     INTEGER PRIMARY KEY AUTOINCREMENT
         CONSTRAINT "id is given by the database" CHECK (id BETWEEN 1 AND 9007199254740991),
  event  TEXT NOT NULL
         CONSTRAINT "event is 1 to 255 of A-Z a-z 0-9 - _ . : /" CHECK (typeof(event) = 'text' AND length(event) BETWEEN 1 AND 255
           AND instr(event, char(0)) = 0 AND event NOT GLOB '*[^-A-Za-z0-9_.:/]*'),
  data   TEXT NOT NULL
         CONSTRAINT "data is JSON text" CHECK (typeof(data) = 'text' AND instr(data, char(0)) = 0 AND json_valid(data)),
  time   INTEGER NOT NULL
         DEFAULT (CAST(strftime('%s', 'now') AS INTEGER) * 1000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER))
         CONSTRAINT "time is UNIX milliseconds" CHECK (typeof(time) = 'integer' AND time BETWEEN 0 AND 253402300799999),
  tenant TEXT CONSTRAINT "tenant is text" CHECK (tenant IS NULL OR (typeof(tenant) = 'text' AND length(tenant) BETWEEN 1 AND 255)),
  key    TEXT UNIQUE CONSTRAINT "key is text" CHECK (key IS NULL OR (typeof(key) = 'text' AND length(key) BETWEEN 1 AND 255))
);
CREATE TRIGGER outbox_id AFTER INSERT ON outbox
  WHEN NEW.id <= (SELECT seq FROM sqlite_sequence WHERE name = 'outbox')
  BEGIN SELECT RAISE(ABORT, 'outbox.id is given by the database'); END;
