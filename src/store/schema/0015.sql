-- Fifteenth shape: what tells this log from every other, so that the traces of two never meet though both count their
-- deliveries from 1; given once, and taken along by a copy. And how long an attempt's proxy took to open the way: NULL
-- where there was none to ask.
CREATE TABLE log_id (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  id  BLOB NOT NULL CHECK (typeof(id) = 'blob' AND length(id) = 16)
);
INSERT INTO log_id (one, id) VALUES (1, randomblob(16));
ALTER TABLE attempt ADD COLUMN proxy_us INTEGER;
