
-- Eleventh shape: deliveries of webhooks with `in_order`, a row each from admission to their end. Of one webhook and
-- value the lowest has the turn; those behind it are held: `parked` has them with the highest due time there is.
-- `value`: a hash of what stands in the event's data, 0 where the webhook has one line. `state`: NULL, pending; 1,
-- given up, and holds what is behind it; 2, cancelled while its attempt was under way, which is waited for.
-- `since`: of those two, UNIX milliseconds.
CREATE TABLE turn (
  delivery_id INTEGER PRIMARY KEY,
  webhook_id  INTEGER NOT NULL,
  value       INTEGER NOT NULL,
  state       INTEGER,
  since       INTEGER
);
CREATE INDEX turn_of_value ON turn (webhook_id, value);
CREATE INDEX turn_marked ON turn (state, webhook_id) WHERE state IS NOT NULL;
