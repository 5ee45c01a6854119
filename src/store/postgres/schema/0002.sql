-- The log in PostgreSQL, second shape: bodies and attempts lie by days, so that a day goes as a whole and nobody waits for
-- it. Ids come from the clock, so a day is a range of them. What is below {edge} is in one table, `attempt_old` and
-- `payload_old`, which is emptied row by row: all that was there before this shape, and whatever is taken over from a
-- machine's log, whose ids are small. The days themselves are made by the program, a week ahead.
DO $$
DECLARE
  name text;
  old regclass;
  last bigint;
  x record;
BEGIN
  FOREACH name IN ARRAY ARRAY['attempt', 'payload'] LOOP
    last := pg_sequence_last_value(format('webhooksd.%s_id_seq', name)::regclass);
    EXECUTE format('ALTER TABLE webhooksd.%1$I RENAME TO %1$s_old', name);
    old := format('webhooksd.%s_old', name)::regclass;
    FOR x IN SELECT i.indexrelid::regclass::text AS index, c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
              WHERE i.indrelid = old LOOP
      EXECUTE format('ALTER INDEX webhooksd.%I RENAME TO %I', x.relname, 'old_' || x.relname);
    END LOOP;
    -- A counter of the parent's own, under the name that it had: of a table that is attached it may not be its own.
    EXECUTE format('ALTER TABLE %s ALTER id DROP IDENTITY', old);
    EXECUTE format('CREATE SEQUENCE webhooksd.%s_id_seq', name);
    IF last IS NOT NULL THEN
      PERFORM setval(format('webhooksd.%s_id_seq', name)::regclass, last);
    END IF;
    EXECUTE format('ALTER TABLE %s ALTER id SET DEFAULT nextval(''webhooksd.%s_id_seq'')', old, name);
    EXECUTE format('CREATE TABLE webhooksd.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)
      PARTITION BY RANGE (id)', name, old);
    EXECUTE format('ALTER TABLE webhooksd.%I DROP CONSTRAINT IF EXISTS {bound}, ADD PRIMARY KEY (id)', name);
    -- Whoever might, may.
    SELECT pg_get_userbyid(relowner) AS name INTO x FROM pg_class WHERE oid = old;
    EXECUTE format('ALTER TABLE webhooksd.%I OWNER TO %I', name, x.name);
    EXECUTE format('ALTER SEQUENCE webhooksd.%s_id_seq OWNER TO %I', name, x.name);
    FOR x IN SELECT a.privilege_type AS what,
                    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS who
               FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = old AND a.grantee <> c.relowner LOOP
      EXECUTE format('GRANT %s ON webhooksd.%I TO %s', x.what, name, x.who);
    END LOOP;
  END LOOP;
END $$;

CREATE INDEX payload_event ON webhooksd.payload (event_id);
CREATE INDEX attempt_of_delivery ON webhooksd.attempt (delivery_id, id);
CREATE INDEX attempt_of_payload ON webhooksd.attempt (payload_id);
CREATE INDEX attempt_of_webhook ON webhooksd.attempt (webhook, id);

-- Their indexes are there already, and nothing is read where a constraint says the same.
ALTER TABLE webhooksd.payload ATTACH PARTITION webhooksd.payload_old FOR VALUES FROM (MINVALUE) TO ({edge});
ALTER TABLE webhooksd.attempt ATTACH PARTITION webhooksd.attempt_old FOR VALUES FROM (MINVALUE) TO ({edge});
ALTER TABLE webhooksd.payload_old DROP CONSTRAINT IF EXISTS {bound};
ALTER TABLE webhooksd.attempt_old DROP CONSTRAINT IF EXISTS {bound};
