-- Fourteenth shape: Standard Webhooks. A message's id, which is sent in a header and stands in no body of its dialect;
-- rows only where a webhook asks for it. `signature` of an attempt is a text where its headers are in the request: all
-- from the value of the vendor's signature, if there is one, to that of `webhook-signature`.
CREATE TABLE payload_message (
  payload_id INTEGER PRIMARY KEY,
  id         TEXT NOT NULL
);
-- The webhooks of that dialect, which waits longer for an answer: `above_ms` is what an attempt beyond the last edge of
-- the roll-up is said to have taken.
CREATE TABLE patient (
  webhook  TEXT PRIMARY KEY NOT NULL,
  above_ms INTEGER NOT NULL
) WITHOUT ROWID;
