-- The log: one row an event, in the order of arrival. Rows are never changed.
-- What is shown comes from the canonical bytes; the other columns are what lists filter and sort by: numbers, and texts in the
-- form in which they compare (coffre_types::NameKey), but for description and detail, which are kept as they are shown.
CREATE TABLE entries (
    log_index INTEGER PRIMARY KEY,
    event_id BLOB NOT NULL,
    canonical BLOB NOT NULL,
    leaf_hash BLOB NOT NULL,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    created_at BIGINT NOT NULL,
    activity BIGINT NOT NULL,
    event TEXT NOT NULL,
    status BIGINT NOT NULL,
    source BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    user_name_key TEXT NOT NULL,
    object_type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    object_name_key TEXT NOT NULL,
    request_id TEXT NOT NULL,
    host_name TEXT NOT NULL,
    environment_name TEXT NOT NULL,
    client_address TEXT NOT NULL,
    description TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE UNIQUE INDEX entries_event_id ON entries (event_id);
-- Each serves "this, newest first", alone and with a range of time, from the index alone. Most events are successful reads of values: those
-- are left out where an index could not tell them apart (src/store/list.rs says which value is the usual one, and which indexes there are).
-- The log_index that orders what is of one moment ends every index anyhow: it is the row's own number.
CREATE INDEX entries_created ON entries (created_at);
CREATE INDEX entries_user ON entries (user_id, created_at);
CREATE INDEX entries_user_name ON entries (user_name_key, created_at);
CREATE INDEX entries_object ON entries (object_id, object_type, created_at);
CREATE INDEX entries_client ON entries (client_address, created_at);
CREATE INDEX entries_event ON entries (event, created_at) WHERE event <> 'credential.value.read';
CREATE INDEX entries_activity ON entries (activity, created_at) WHERE activity <> 5;
CREATE INDEX entries_status ON entries (status, created_at) WHERE status <> 1;
CREATE INDEX entries_request ON entries (request_id);

-- One row: how many entries there are, and by what the key of the streams is known again. Its lock orders the replicas.
CREATE TABLE log_head (
    id BIGINT NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL,
    key_check BLOB
);
INSERT INTO log_head (id, size) VALUES (1, 0);

-- How far each stream has come here, and how far its writer says it has.
CREATE TABLE streams (
    stream_id BLOB NOT NULL PRIMARY KEY,
    service TEXT NOT NULL,
    next_sequence BIGINT NOT NULL,
    head_hash BLOB NOT NULL,
    gaps BIGINT NOT NULL DEFAULT 0,
    reported_sequence BIGINT NOT NULL DEFAULT 0,
    reported_hash BLOB NOT NULL,
    closed BOOLEAN NOT NULL DEFAULT FALSE,
    last_seen BIGINT NOT NULL
);

-- What was found wrong with streams: missing or forged segments.
CREATE TABLE incidents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    service TEXT NOT NULL,
    stream_id BLOB NOT NULL,
    first_sequence BIGINT NOT NULL,
    last_sequence BIGINT NOT NULL,
    found_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX incidents_place ON incidents (kind, stream_id, first_sequence);

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
