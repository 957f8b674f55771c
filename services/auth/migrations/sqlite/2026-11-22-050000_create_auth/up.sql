-- Everything that auth owns. Times are microseconds since 1970; ids are never used again.

-- One row once the installation is initialised.
CREATE TABLE installation (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    initialised_at BIGINT NOT NULL
);

-- The last id that was given out. The hash of a password or of a client secret is bound to the id of its owner, so ids of users and of API
-- accesses are taken before the row is made.
CREATE TABLE id_counters (
    name TEXT NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO id_counters (name, last) VALUES ('users', 0), ('api_accesses', 0), ('deletions', 0);

-- A deleted user stays as a tombstone. name_key is NFKC, case-folded, trimmed, and computed in Rust.
CREATE TABLE users (
    id BIGINT NOT NULL PRIMARY KEY,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    username TEXT NOT NULL,
    name_key TEXT NOT NULL,
    first_name TEXT NOT NULL DEFAULT '',
    last_name TEXT NOT NULL DEFAULT '',
    email TEXT NOT NULL DEFAULT '',
    description TEXT,
    disabled BOOLEAN NOT NULL DEFAULT FALSE,
    -- Argon2id over a keyed hash of the user's id and the password.
    password_hash TEXT,
    password_change_required BOOLEAN NOT NULL DEFAULT FALSE,
    -- Raised whenever tokens issued before must end.
    epoch BIGINT NOT NULL DEFAULT 0,
    -- Raised whenever all that the user has confirmed is void.
    confirmation_epoch BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL DEFAULT 0,
    created_by BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_by BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX users_name ON users (tenant_id, name_key) WHERE deleted_at IS NULL;
CREATE INDEX users_created ON users (created_at, id);
CREATE INDEX users_updated ON users (updated_at, id);

-- system_role: 0 made by people, 1 AAE_Admin, 2 AAE_Basic, 3 AAE_Locker Admin.
CREATE TABLE roles (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    description TEXT,
    system_role BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL DEFAULT 0,
    created_by BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_by BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX roles_name ON roles (tenant_id, name_key) WHERE deleted_at IS NULL;

CREATE TABLE role_permissions (
    role_id BIGINT NOT NULL REFERENCES roles (id),
    permission_id BIGINT NOT NULL,
    PRIMARY KEY (role_id, permission_id)
);

CREATE TABLE user_roles (
    user_id BIGINT NOT NULL REFERENCES users (id),
    role_id BIGINT NOT NULL REFERENCES roles (id),
    PRIMARY KEY (user_id, role_id)
);
CREATE INDEX user_roles_role ON user_roles (role_id, user_id);

-- How often locker was told who holds a role: whoever gives it meanwhile, on what locker said before, asks locker anew.
CREATE TABLE role_inspections (
    role_id BIGINT NOT NULL PRIMARY KEY REFERENCES roles (id),
    inspections BIGINT NOT NULL
);

-- Deletions that other services take part in: kind 1 of a user, 2 of a role. step: 1 the others are asked to hold, 2 it is given up and they
-- are asked to restore, 3 the tombstone stands and they are asked to release. What a crash or a deadline leaves here is settled later, in the
-- name of whoever asked.
CREATE TABLE deletions (
    kind BIGINT NOT NULL,
    subject_id BIGINT NOT NULL,
    -- From the counter `deletions`, never under the clock: what comes late from an earlier attempt counts for nothing.
    attempt BIGINT NOT NULL,
    step BIGINT NOT NULL,
    since BIGINT NOT NULL,
    asked_by BIGINT NOT NULL,
    request_id TEXT NOT NULL,
    PRIMARY KEY (kind, subject_id)
);
CREATE INDEX deletions_since ON deletions (since);

-- OAuth clients. client_key is client_id in NFKC, case-folded, trimmed. Lives are seconds.
CREATE TABLE api_accesses (
    id BIGINT NOT NULL PRIMARY KEY,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    client_id TEXT NOT NULL,
    client_key TEXT NOT NULL,
    description TEXT,
    access_token_life BIGINT NOT NULL,
    refresh_token_life BIGINT NOT NULL,
    password_grant BOOLEAN NOT NULL,
    refresh_grant BOOLEAN NOT NULL,
    client_credentials_grant BOOLEAN NOT NULL,
    -- As whom it acts with its own secret alone, once that user has confirmed it.
    operator_id BIGINT REFERENCES users (id),
    disabled BOOLEAN NOT NULL DEFAULT FALSE,
    -- Raised whenever the tokens issued before must end.
    epoch BIGINT NOT NULL DEFAULT 0,
    -- Raised whenever what was confirmed for it is void.
    confirmation_epoch BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL DEFAULT 0,
    created_by BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_by BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX api_accesses_client ON api_accesses (tenant_id, client_key) WHERE deleted_at IS NULL;
CREATE INDEX api_accesses_operator ON api_accesses (operator_id);
CREATE INDEX api_accesses_created ON api_accesses (created_at, id);
CREATE INDEX api_accesses_updated ON api_accesses (updated_at, id);

-- The secrets of an API access: the newest, and the one before it while its grace period lasts. A chosen secret is hashed with Argon2id, a
-- generated one with a keyed HMAC; both are bound to the access. confirmation is a keyed MAC over access, operator, the
-- confirmation_epoch of either and this hash.
CREATE TABLE api_access_secrets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    access_id BIGINT NOT NULL REFERENCES api_accesses (id),
    hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    confirmation BLOB,
    confirmed_at BIGINT
);
CREATE INDEX api_access_secrets_access ON api_access_secrets (access_id, id);

-- Keys that programs show in place of a password. hash is a keyed HMAC bound to user and key.
CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    user_id BIGINT NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    -- The last characters of the key, for people to tell their keys apart.
    hint TEXT NOT NULL,
    hash BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX api_keys_name ON api_keys (user_id, name_key) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_user ON api_keys (user_id, id);
CREATE INDEX api_keys_expiry ON api_keys (expires_at);

-- A row stands behind every token. A session takes tokens of the epochs first_epoch to epoch. kind: 1 of a sign-in, 2 of the OAuth side.
-- password_time is 0 where no password opened it.
CREATE TABLE sessions (
    session_id BLOB NOT NULL PRIMARY KEY,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    user_id BIGINT NOT NULL REFERENCES users (id),
    kind BIGINT NOT NULL,
    -- The API access that asked for it, and that access's epoch then.
    api_access_id BIGINT REFERENCES api_accesses (id),
    api_access_epoch BIGINT,
    -- The secret of the access whose confirmation it stands on.
    api_access_secret_id BIGINT REFERENCES api_access_secrets (id),
    -- The API key with which it was opened.
    api_key_id BIGINT REFERENCES api_keys (id),
    -- Of its refresh tokens, which are derived and not stored, the number of the newest, from 0, when it was issued, and for how many seconds
    -- the access token beside it is good; none: it has none.
    refresh_generation BIGINT,
    refreshed_at BIGINT,
    refreshed_life BIGINT,
    first_epoch BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    password_time BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_access ON sessions (api_access_id);
CREATE INDEX sessions_key ON sessions (api_key_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Private keys are sealed under auth's key file, bound to their kid and public key.
CREATE TABLE signing_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    public_key BLOB NOT NULL,
    sealed_private BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    -- It signs from then on, so that everybody knows it before the first token under it appears.
    active_from BIGINT NOT NULL,
    -- Its tokens have all expired by then.
    retired_at BIGINT,
    withdrawn_at BIGINT
);

-- A fixed number of counters. kind: 1 address; for what is shown, account and account with address: 2 and 3 passwords, 4 and 5 API keys,
-- 6 and 7 chosen client secrets, 8 and 9 generated ones. The slot is a keyed hash.
CREATE TABLE throttle_buckets (
    kind BIGINT NOT NULL,
    slot BIGINT NOT NULL,
    -- Whose place it is: more bits of the hash that chose it.
    tag BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    pending BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL,
    touched_at BIGINT NOT NULL,
    -- Failures are forgotten some time after the last one, however often somebody signs in meanwhile.
    failed_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, slot)
);

-- What watchers have to forget. kind 1 session, 2 user, 3 role, 4 signing keys, 5 API access.
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

-- A transaction that must not take the last of something away raises a row here.
CREATE TABLE guards (
    name TEXT NOT NULL PRIMARY KEY,
    raised BIGINT NOT NULL
);
INSERT INTO guards (name, raised) VALUES ('administrators', 0), ('signing_keys', 0);

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
