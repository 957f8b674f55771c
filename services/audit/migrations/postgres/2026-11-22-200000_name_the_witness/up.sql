-- witnessed_by: which witness had the checkpoint first: its host and its name; empty for the lines of the log. A witness that has less than
-- the database knows of it lost it.
ALTER TABLE checkpoints ADD COLUMN witnessed_by TEXT COLLATE "C" NOT NULL DEFAULT '';
