-- Who asked for the deletion that is under way, and in which request: what a crash or a deadline leaves behind is settled in his name.
ALTER TABLE users ADD COLUMN deleting_by BIGINT;
ALTER TABLE users ADD COLUMN deleting_request TEXT;
