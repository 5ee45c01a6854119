-- Sixteenth shape. How far an outbox in PostgreSQL has been taken: `seen` is a pg_snapshot all of whose rows were,
-- `upto` that of the window that is being taken, up to (`xid`, `id`). Of the cursor's generation only.
CREATE TABLE snapshot (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  generation INTEGER NOT NULL,
  system     TEXT NOT NULL,
  timeline   TEXT NOT NULL,
  seen       TEXT NOT NULL,
  upto       TEXT NOT NULL,
  xid        INTEGER NOT NULL,
  id         INTEGER NOT NULL,
  since      INTEGER NOT NULL
);
