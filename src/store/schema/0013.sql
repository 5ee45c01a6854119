
-- Thirteenth shape. `tenant`: whose event a body is of, where it has one; NULL too where it was written before, and
-- nobody asked for events of webhooksd itself.
ALTER TABLE payload ADD COLUMN tenant TEXT;
UPDATE payload SET tenant = (SELECT t.tenant FROM payload_tenant t WHERE t.payload_id = payload.id)
 WHERE id IN (SELECT payload_id FROM payload_tenant);
DROP TABLE payload_tenant;

CREATE TRIGGER pause_of_one BEFORE UPDATE OF webhook ON pause WHEN NEW.webhook IS NOT OLD.webhook BEGIN
  SELECT RAISE(ABORT, 'a pause is of one webhook: delete the row, and insert another');
END;
