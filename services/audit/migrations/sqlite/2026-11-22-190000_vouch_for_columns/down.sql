ALTER TABLE log_head DROP COLUMN cut_note;
ALTER TABLE entries DROP COLUMN words;
