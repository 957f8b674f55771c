DROP TABLE checkpoints;
DROP TABLE tree_nodes;
ALTER TABLE streams DROP COLUMN covered_sequence;
ALTER TABLE log_head DROP COLUMN first_kept;
ALTER TABLE log_head DROP COLUMN frontier;
ALTER TABLE log_head DROP COLUMN verifier_key;
ALTER TABLE log_head DROP COLUMN log_id;
