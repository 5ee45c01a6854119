-- The doorbell of [outbox] doorbell = true: a commit notifies only while webhooksd sleeps, for NOTIFY is one lock for
-- the whole server. Its user needs more than the outbox: GRANT SELECT, UPDATE ON outbox_doorbell.
CREATE TABLE outbox_doorbell (asleep boolean NOT NULL) WITH (fillfactor = 50);
INSERT INTO outbox_doorbell VALUES (false);
CREATE FUNCTION outbox_doorbell() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF (SELECT bool_or(asleep) FROM outbox_doorbell) THEN
    NOTIFY outbox_doorbell;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER outbox_doorbell AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_doorbell();
