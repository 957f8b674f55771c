-- The audit's outbox: events that are committed and not yet with the audit service.
-- Copied by each service into its first migration; the owner of the text is crates/audit-client.
CREATE TABLE outbox_segments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stream_id BLOB NOT NULL,
    first_sequence BIGINT NOT NULL,
    event_count BIGINT NOT NULL,
    segment BLOB NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX outbox_segments_stream ON outbox_segments (stream_id, first_sequence);

-- Segments that the audit service refused as forged, kept for whoever looks into it.
CREATE TABLE outbox_quarantine (
    id BIGINT NOT NULL PRIMARY KEY,
    stream_id BLOB NOT NULL,
    first_sequence BIGINT NOT NULL,
    segment BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    quarantined_at BIGINT NOT NULL
);
