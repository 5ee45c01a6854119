-- The doorbell of [outbox] doorbell = true: a commit notifies only while webhooksd sleeps, for NOTIFY is one lock for
-- the whole server. The sequence is 2 while it sleeps: its value is looked at without a query or a snapshot, so that an
-- INSERT costs hardly more. Its user needs more than the outbox: GRANT UPDATE ON SEQUENCE outbox_doorbell.
CREATE SEQUENCE outbox_doorbell MAXVALUE 2;
GRANT SELECT ON SEQUENCE outbox_doorbell TO PUBLIC;
CREATE FUNCTION outbox_doorbell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NOTIFY outbox_doorbell;
  RETURN NULL;
END $$;
CREATE TRIGGER outbox_doorbell AFTER INSERT ON outbox FOR EACH STATEMENT
  WHEN (pg_sequence_last_value('outbox_doorbell') = 2) EXECUTE FUNCTION outbox_doorbell();
