CREATE SEQUENCE outbox_id;
CREATE TABLE outbox (
  id     bigint NOT NULL
         CONSTRAINT "id is given by the database" CHECK (id BETWEEN 1 AND 9007199254740991),
  xid    xid8 NOT NULL,
  event  text NOT NULL
         CONSTRAINT "event is 1 to 255 of A-Z a-z 0-9 - _ . : /" CHECK (event ~ '^[A-Za-z0-9_.:/-]{1,255}$'),
  data   json NOT NULL,
  time   timestamptz NOT NULL DEFAULT clock_timestamp()
         CONSTRAINT "time is from 1970 to 9999" CHECK (time >= '1970-01-01 00:00:00+00' AND time < '10000-01-01 00:00:00+00'),
  tenant text CONSTRAINT "tenant is text" CHECK (char_length(tenant) BETWEEN 1 AND 255),
  key    text CONSTRAINT "key is text" CHECK (char_length(key) BETWEEN 1 AND 255),
  PRIMARY KEY (xid, id)
);
CREATE UNIQUE INDEX outbox_by_id ON outbox (id);
CREATE UNIQUE INDEX outbox_by_key ON outbox (key) WHERE key IS NOT NULL;
-- An id is the milliseconds since 2026 and 12 bits, so that none is given twice, not even by a standby that takes
-- over. Within a transaction they grow: where the 12 bits begin anew, the next millisecond is waited for.
CREATE FUNCTION outbox_id() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  last bigint := coalesce(nullif(current_setting('webhooksd.outbox_id', true), ''), '0')::bigint;
BEGIN
  IF NEW.id IS NOT NULL OR NEW.xid IS NOT NULL THEN
    RAISE EXCEPTION 'outbox.id is given by the database' USING HINT = 'leave id and xid out of the INSERT';
  END IF;
  FOR try IN 1..10000 LOOP
    NEW.id := (extract(epoch FROM clock_timestamp()) * 1000)::bigint * 4096 - 7238556057600000 + (nextval('outbox_id') & 4095);
    EXIT WHEN NEW.id > last;
  END LOOP;
  NEW.xid := pg_current_xact_id();
  PERFORM set_config('webhooksd.outbox_id', NEW.id::text, true);
  RETURN NEW;
END $$;
CREATE TRIGGER outbox_id BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION outbox_id();
