ALTER TABLE throttle_buckets DROP COLUMN failed_at;
