-- Lockers stay as tombstones; their ids are never used again.
CREATE TABLE lockers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    description TEXT,
    version BIGINT NOT NULL,
    created_by BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_by BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    -- How often a place in it was reserved: a reservation and the mark of a deletion write the same row, so neither misses the other.
    entries BIGINT NOT NULL DEFAULT 0,
    -- How often its deletion began: an answer that belongs to another deletion counts for nothing.
    deletions BIGINT NOT NULL DEFAULT 0,
    -- It is being deleted since then, in whose name, by which call.
    deleting_at BIGINT,
    deleting_by BIGINT,
    deleting_name TEXT,
    deleting_request TEXT,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX lockers_name ON lockers (tenant_id, name_key) WHERE deleted_at IS NULL;
CREATE INDEX lockers_created ON lockers (tenant_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX lockers_updated ON lockers (tenant_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX lockers_deleting ON lockers (deleting_at) WHERE deleting_at IS NOT NULL;

-- Every member participates; `own` and `manage` come on top.
CREATE TABLE members (
    locker_id BIGINT NOT NULL REFERENCES lockers (id),
    user_id BIGINT NOT NULL,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    own BOOLEAN NOT NULL,
    manage BOOLEAN NOT NULL,
    PRIMARY KEY (locker_id, user_id)
) WITHOUT ROWID;
CREATE INDEX members_user ON members (user_id, locker_id, own, manage);

-- Roles whose users use what is inside.
CREATE TABLE consumers (
    locker_id BIGINT NOT NULL REFERENCES lockers (id),
    role_id BIGINT NOT NULL,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    PRIMARY KEY (locker_id, role_id)
) WITHOUT ROWID;
CREATE INDEX consumers_role ON consumers (role_id, locker_id);

-- Places for credentials that are about to enter. A row goes when vault said that nothing enters under this epoch any more.
CREATE TABLE reservations (
    locker_id BIGINT NOT NULL REFERENCES lockers (id),
    credential_id BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (locker_id, credential_id, epoch)
) WITHOUT ROWID;
CREATE INDEX reservations_created ON reservations (created_at);

-- Users who are leaving or left: while they are held they become members of nothing, and do not count as owners. The number of the
-- attempt tells a hold or a restoration that comes late.
CREATE TABLE departed_users (
    user_id BIGINT NOT NULL PRIMARY KEY,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    attempt BIGINT NOT NULL,
    held BOOLEAN NOT NULL,
    departed_at BIGINT NOT NULL
);

-- Roles that are being deleted or are gone: while they are held they consume nothing.
CREATE TABLE departed_roles (
    role_id BIGINT NOT NULL PRIMARY KEY,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    attempt BIGINT NOT NULL,
    held BOOLEAN NOT NULL,
    departed_at BIGINT NOT NULL
);

-- How often auth was told what a role consumes: whoever adds it as a consumer meanwhile, on what auth said before, asks auth anew.
CREATE TABLE role_inspections (
    role_id BIGINT NOT NULL PRIMARY KEY,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    inspections BIGINT NOT NULL
);

-- What watchers have to forget: kind 2 a user's memberships, kind 3 what a role consumes.
CREATE TABLE changes (
    sequence BIGINT NOT NULL PRIMARY KEY,
    kind BIGINT NOT NULL,
    subject_id BIGINT,
    session_id BLOB,
    created_at BIGINT NOT NULL
);
CREATE INDEX changes_created ON changes (created_at);

-- The number comes from this row, locked by the transaction that makes the change: nothing commits late behind a reader.
CREATE TABLE change_counter (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL
);
INSERT INTO change_counter (id, sequence) VALUES (1, 0);

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
