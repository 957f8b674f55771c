-- One row: for whom backups are sealed. public_key comes from the root key; vouched is a MAC over it and all slots, under a key that is in no
-- database. An open vault writes it after each change of its keys.
CREATE TABLE backup_recipient (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    tenant_id BIGINT NOT NULL DEFAULT 1,
    public_key BLOB NOT NULL,
    vouched BLOB NOT NULL,
    updated_at BIGINT NOT NULL
);
