
DROP TABLE old_attempt;
DROP TABLE old_delivery;
DROP TABLE old_payload;
