-- Eighth shape: several events in one POST. A batch that was sent, or is about to be, stands here until it is
-- over, so that it goes again with the same bytes. `first_id`: the lowest of its deliveries; `members`: all of
-- them in the order of the body, a comma between.
CREATE TABLE batch (
  first_id INTEGER PRIMARY KEY,
  name     TEXT NOT NULL,
  members  TEXT NOT NULL
);

-- Which attempts were one POST: those of these ids. The answer's body is here, once, and each of them has
-- first_attempt_id in its place.
CREATE TABLE posted (
  first_attempt_id INTEGER PRIMARY KEY,
  last_attempt_id  INTEGER NOT NULL,
  batch            TEXT NOT NULL,
  response_body
);
