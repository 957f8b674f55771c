CREATE TABLE changes (
    sequence BIGINT NOT NULL PRIMARY KEY,
    kind BIGINT NOT NULL,
    subject_id BIGINT,
    session_id BYTEA,
    created_at BIGINT NOT NULL
);
CREATE INDEX changes_created ON changes (created_at);
CREATE TABLE change_counter (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL
);
INSERT INTO change_counter (id, sequence) VALUES (1, 0);
