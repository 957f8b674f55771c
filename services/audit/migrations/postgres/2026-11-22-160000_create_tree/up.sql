-- The Merkle tree over the log, and what was signed of it. docs/audit-format.md describes the hashes and the notes.

-- log_id: 16 random bytes, made once. verifier_key: by what the signatures of this log are checked, as signed notes write it.
-- frontier: the roots of the complete subtrees at the end of the log; it may lie behind size after an older binary wrote, and is
-- then brought up to it. first_kept: entries below are cut off; their hashes stay in tree_nodes.
ALTER TABLE log_head ADD COLUMN log_id BYTEA;
ALTER TABLE log_head ADD COLUMN verifier_key TEXT COLLATE "C";
ALTER TABLE log_head ADD COLUMN frontier BYTEA;
ALTER TABLE log_head ADD COLUMN first_kept BIGINT NOT NULL DEFAULT 0;

-- How far the last checkpoint that names the stream has it.
ALTER TABLE streams ADD COLUMN covered_sequence BIGINT NOT NULL DEFAULT 0;

-- Roots of complete subtrees of 256, 65 536, … leaves: heights 8, 16, …. What is between is computed from them and from the leaves.
CREATE TABLE tree_nodes (
    height BIGINT NOT NULL,
    node_index BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (height, node_index)
);

-- The log at one moment, signed. heads: the streams that moved since the checkpoint before. witnessed_at: when a witness outside of
-- this database had it.
CREATE TABLE checkpoints (
    size BIGINT PRIMARY KEY,
    root BYTEA NOT NULL,
    heads BYTEA NOT NULL,
    note TEXT COLLATE "C" NOT NULL,
    first_kept BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    witnessed_at BIGINT
);
CREATE INDEX checkpoints_created ON checkpoints (created_at);
