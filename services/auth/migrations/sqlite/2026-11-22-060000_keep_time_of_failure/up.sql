-- Failures are forgotten some time after the last one, however often somebody signs in meanwhile.
ALTER TABLE throttle_buckets ADD COLUMN failed_at BIGINT NOT NULL DEFAULT 0;
