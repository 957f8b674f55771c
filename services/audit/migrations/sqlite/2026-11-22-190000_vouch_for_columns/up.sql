-- words: in which version of our words description and detail are; 0: of before it was kept. Both are functions of the event, like the
-- columns that lists search by, and the look at the log compares all of them with it.
ALTER TABLE entries ADD COLUMN words BIGINT NOT NULL DEFAULT 0;

-- cut_note: says, signed with the log's key, that first_kept was decided, and by which entry. A first_kept that is neither in the latest
-- checkpoint nor in such a note was put there by somebody else.
ALTER TABLE log_head ADD COLUMN cut_note TEXT;
