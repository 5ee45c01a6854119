
-- Fourth shape. Ids that the cursor passed where the outbox had no row: one that is written there
-- later has an id below the newest and is not read by itself. Of the cursor's generation only.
CREATE TABLE gap (
  first INTEGER PRIMARY KEY,
  last  INTEGER NOT NULL
);
