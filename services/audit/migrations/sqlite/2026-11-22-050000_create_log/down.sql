DROP TABLE outbox_quarantine;
DROP TABLE outbox_segments;
DROP TABLE incidents;
DROP TABLE streams;
DROP TABLE log_head;
DROP TABLE entries;
