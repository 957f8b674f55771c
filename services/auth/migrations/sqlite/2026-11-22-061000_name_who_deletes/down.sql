ALTER TABLE users DROP COLUMN deleting_request;
ALTER TABLE users DROP COLUMN deleting_by;
