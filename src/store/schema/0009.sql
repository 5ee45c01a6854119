
-- Ninth shape. Why a delivery was cancelled: NULL, its webhook was inactive or had left the
-- configuration; 1, somebody asked for it.
ALTER TABLE ended ADD COLUMN reason INTEGER;
