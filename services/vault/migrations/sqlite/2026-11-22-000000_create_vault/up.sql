-- Credentials stay as tombstones; their ids and those of attributes and values are never used again.
-- `entry_epoch` counts the entries into lockers that were made or given up: one that began under an older number never commits.
CREATE TABLE credentials (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    description TEXT,
    owner_id BIGINT NOT NULL,
    locker_id BIGINT,
    entry_epoch BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL,
    created_by BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_by BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX credentials_name ON credentials (tenant_id, name_key) WHERE deleted_at IS NULL;
CREATE INDEX credentials_owner ON credentials (owner_id, id) WHERE deleted_at IS NULL;
CREATE INDEX credentials_locker ON credentials (locker_id, id) WHERE deleted_at IS NULL AND locker_id IS NOT NULL;
CREATE INDEX credentials_created ON credentials (tenant_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX credentials_updated ON credentials (tenant_id, updated_at, id) WHERE deleted_at IS NULL;

CREATE TABLE attributes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    credential_id BIGINT NOT NULL REFERENCES credentials (id),
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    description TEXT,
    user_provided BOOLEAN NOT NULL,
    masked BOOLEAN NOT NULL,
    password BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    created_by BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_by BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX attributes_name ON attributes (credential_id, name_key);

-- Data keys, wrapped under the root key.
CREATE TABLE terms (
    term BIGINT NOT NULL PRIMARY KEY,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    wrapped BLOB NOT NULL,
    created_at BIGINT NOT NULL
);

-- One standard value an attribute, or one for each user. `user_id` is 0 for a standard value: no user has this id, and one unique index
-- holds for both kinds on both engines.
CREATE TABLE attribute_values (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    credential_id BIGINT NOT NULL REFERENCES credentials (id),
    attribute_id BIGINT NOT NULL REFERENCES attributes (id),
    user_id BIGINT NOT NULL,
    term BIGINT NOT NULL REFERENCES terms (term),
    sealed BLOB NOT NULL,
    version BIGINT NOT NULL,
    created_by BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_by BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX attribute_values_user ON attribute_values (attribute_id, user_id);
CREATE INDEX attribute_values_credential ON attribute_values (credential_id, user_id);
CREATE INDEX attribute_values_own ON attribute_values (user_id) WHERE user_id <> 0;
-- How far a re-encryption is; and no term goes while a value is sealed under it.
CREATE INDEX attribute_values_term ON attribute_values (term, id);

-- Users who leave or have left: nothing can be given to them while they are held. `attempt` is the latest attempt to delete the user that was
-- heard of; one that was given up stays, not held, so that nothing of it that comes late counts.
CREATE TABLE departed_users (
    user_id BIGINT NOT NULL PRIMARY KEY,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    attempt BIGINT NOT NULL,
    held BOOLEAN NOT NULL,
    departed_at BIGINT NOT NULL,
    released_at BIGINT
);

-- The root key, wrapped once for each key that may open the vault.
CREATE TABLE key_slots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    kind BIGINT NOT NULL,
    slot BLOB NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX key_slots_kind ON key_slots (tenant_id, kind);

-- One row: whether the vault was sealed on purpose, and how often that changed.
CREATE TABLE seal_state (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    tenant_id BIGINT NOT NULL DEFAULT 1,
    generation BIGINT NOT NULL,
    sealed BOOLEAN NOT NULL,
    updated_at BIGINT NOT NULL
);

-- The wrong keys that each user tried lately from each address; '' stands for further addresses. A key is counted before it is tried.
CREATE TABLE key_attempts (
    user_id BIGINT NOT NULL,
    address TEXT NOT NULL,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    failures BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL,
    PRIMARY KEY (user_id, address)
);

-- One row: the last re-encryption of values under the newest term.
CREATE TABLE rotation (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    tenant_id BIGINT NOT NULL DEFAULT 1,
    term BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT
);

-- RSA keys, the private half sealed under the root key; shared by all replicas.
CREATE TABLE transport_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    public_key TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX transport_keys_public ON transport_keys (public_key);
CREATE INDEX transport_keys_created ON transport_keys (created_at);

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
