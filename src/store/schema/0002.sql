
-- Second shape. What events still owe to webhooks that don't answer: their deliveries are made in a
-- transaction of their own, right after those of the others. A row per event and body; names in lines.
CREATE TABLE owed (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  generation INTEGER NOT NULL,
  event_id   INTEGER NOT NULL,
  event      TEXT NOT NULL,
  dialect    TEXT NOT NULL,
  payload_id INTEGER NOT NULL,
  webhooks   TEXT NOT NULL
);
