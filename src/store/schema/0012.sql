
-- Events of webhooksd itself. `event_id`: the last that was given to one; `asked`: whether a webhook gets some.
CREATE TABLE own (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  event_id INTEGER NOT NULL,
  asked    INTEGER NOT NULL
);
-- The pauses that were told of and have not ended, or stood there before anybody asked. Rows only where somebody does.
CREATE TABLE pause_told (
  webhook TEXT PRIMARY KEY NOT NULL,
  since   INTEGER NOT NULL,
  reason  TEXT
) WITHOUT ROWID;
-- Whose event a body is of, where it has a tenant. Rows only where somebody asks.
CREATE TABLE payload_tenant (
  payload_id INTEGER PRIMARY KEY,
  tenant     TEXT NOT NULL
);
