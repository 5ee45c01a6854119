
-- Seventh shape: until when a webhook's endpoint asked not to be tried, by Retry-After. `until`: UNIX milliseconds, at
-- most a day from the answer; a row stays when that is over.
CREATE TABLE retry_after (
  webhook_id INTEGER PRIMARY KEY,
  until      INTEGER NOT NULL
);
