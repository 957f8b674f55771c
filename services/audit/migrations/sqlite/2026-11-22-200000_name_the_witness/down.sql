ALTER TABLE checkpoints DROP COLUMN witnessed_by;
