//! Rows, and what they become.

use coffre_types::{AttributeId, CredentialId, Description, LockerId, Name, Timestamp, UserId, ValueId, Version};
use diesel::Queryable;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

use super::schema::{attributes, credentials};
use crate::domain::model::{Attribute, Credential, Stamp, Traits, Value};

macro_rules! credential_text {
    () => {
        "c.id, c.name, c.description, c.owner_id, c.locker_id, c.version, c.created_by, c.created_at, c.updated_by, c.updated_at"
    };
}

macro_rules! attribute_text {
    () => {
        "a.id, a.credential_id, a.name, a.description, a.user_provided, a.masked, a.password, a.version, \
         a.created_by, a.created_at, a.updated_by, a.updated_at"
    };
}

#[derive(Queryable)]
pub(super) struct CredentialRow {
    id: i64,
    name: String,
    description: Option<String>,
    owner_id: i64,
    locker_id: Option<i64>,
    version: i64,
    created_by: i64,
    created_at: i64,
    updated_by: i64,
    updated_at: i64,
}

pub(super) const CREDENTIAL: (
    credentials::id,
    credentials::name,
    credentials::description,
    credentials::owner_id,
    credentials::locker_id,
    credentials::version,
    credentials::created_by,
    credentials::created_at,
    credentials::updated_by,
    credentials::updated_at,
) = (
    credentials::id,
    credentials::name,
    credentials::description,
    credentials::owner_id,
    credentials::locker_id,
    credentials::version,
    credentials::created_by,
    credentials::created_at,
    credentials::updated_by,
    credentials::updated_at,
);

fn stamp(created_by: i64, created_at: i64, updated_by: i64, updated_at: i64) -> Stamp {
    Stamp {
        created_by: UserId::from_trusted(created_by),
        created_at: Timestamp::from_micros(created_at),
        updated_by: UserId::from_trusted(updated_by),
        updated_at: Timestamp::from_micros(updated_at),
    }
}

impl From<CredentialRow> for Credential {
    fn from(row: CredentialRow) -> Self {
        Self {
            id: CredentialId::from_trusted(row.id),
            name: Name::from_trusted(row.name),
            description: row.description.map(Description::from_trusted),
            owner: UserId::from_trusted(row.owner_id),
            locker: row.locker_id.map(LockerId::from_trusted),
            version: Version::from_trusted(row.version),
            stamp: stamp(row.created_by, row.created_at, row.updated_by, row.updated_at),
        }
    }
}

#[derive(Queryable)]
pub(super) struct AttributeRow {
    id: i64,
    credential_id: i64,
    name: String,
    description: Option<String>,
    user_provided: bool,
    masked: bool,
    password: bool,
    version: i64,
    created_by: i64,
    created_at: i64,
    updated_by: i64,
    updated_at: i64,
}

pub(super) const ATTRIBUTE: (
    attributes::id,
    attributes::credential_id,
    attributes::name,
    attributes::description,
    attributes::user_provided,
    attributes::masked,
    attributes::password,
    attributes::version,
    attributes::created_by,
    attributes::created_at,
    attributes::updated_by,
    attributes::updated_at,
) = (
    attributes::id,
    attributes::credential_id,
    attributes::name,
    attributes::description,
    attributes::user_provided,
    attributes::masked,
    attributes::password,
    attributes::version,
    attributes::created_by,
    attributes::created_at,
    attributes::updated_by,
    attributes::updated_at,
);

impl From<AttributeRow> for Attribute {
    fn from(row: AttributeRow) -> Self {
        Self {
            id: AttributeId::from_trusted(row.id),
            credential: CredentialId::from_trusted(row.credential_id),
            name: Name::from_trusted(row.name),
            description: row.description.map(Description::from_trusted),
            traits: Traits { user_provided: row.user_provided, masked: row.masked, password: row.password },
            version: Version::from_trusted(row.version),
            stamp: stamp(row.created_by, row.created_at, row.updated_by, row.updated_at),
        }
    }
}

/// What the column `user_id` of a value holds for a standard value.
pub(super) const EVERYBODY: i64 = 0;

/// Returns what the column `user_id` of a value holds.
pub(super) fn user_column(user: Option<UserId>) -> i64 {
    user.map_or(EVERYBODY, UserId::get)
}

/// A value without its sealed bytes.
#[derive(Queryable)]
pub(super) struct ValueHeadRow {
    id: i64,
    credential_id: i64,
    attribute_id: i64,
    user_id: i64,
    version: i64,
    created_by: i64,
    created_at: i64,
    updated_by: i64,
    updated_at: i64,
}

impl ValueHeadRow {
    pub(super) fn with(self, sealed: Vec<u8>) -> Value {
        Value {
            id: ValueId::from_trusted(self.id),
            credential: CredentialId::from_trusted(self.credential_id),
            attribute: AttributeId::from_trusted(self.attribute_id),
            user: UserId::new(self.user_id),
            version: Version::from_trusted(self.version),
            stamp: stamp(self.created_by, self.created_at, self.updated_by, self.updated_at),
            sealed,
        }
    }
}

/// The columns of a credential `c`, as text.
pub(super) const CREDENTIAL_TEXT: &str = credential_text!();

/// The columns of [`CREDENTIAL_TEXT`].
pub(super) type CredentialTypes =
    (BigInt, Text, Nullable<Text>, BigInt, Nullable<BigInt>, BigInt, BigInt, BigInt, BigInt, BigInt);

/// The columns of an attribute `a`, as text.
pub(super) const ATTRIBUTE_TEXT: &str = attribute_text!();

/// The columns of [`ATTRIBUTE_TEXT`].
pub(super) type AttributeTypes =
    (BigInt, BigInt, Text, Nullable<Text>, Bool, Bool, Bool, BigInt, BigInt, BigInt, BigInt, BigInt);

/// The columns of [`WITH_VALUES`]: a credential, one of its attributes, a value of it where there is one.
pub(super) type WithValuesTypes = (CredentialTypes, AttributeTypes, Nullable<(ValueHeadTypes, Binary)>);

type ValueHeadTypes = (BigInt, BigInt, BigInt, BigInt, BigInt, BigInt, BigInt, BigInt, BigInt);

/// What every read of a value selects, as text: it is the busiest statement of all.
pub(super) const WITH_VALUES: &str = concat!(
    "SELECT ",
    credential_text!(),
    ", ",
    attribute_text!(),
    ", v.id, v.credential_id, v.attribute_id, v.user_id, v.version, v.created_by, v.created_at, v.updated_by, v.updated_at, v.sealed \
FROM credentials c INNER JOIN attributes a ON a.credential_id = c.id \
LEFT JOIN attribute_values v ON v.attribute_id = a.id"
);

/// The columns of [`FIND_VALUE`]: a credential, an attribute of it, a value of that without its sealed bytes.
pub(super) type FindValueTypes = (CredentialTypes, AttributeTypes, ValueHeadTypes);

/// What every change of a value selects first.
pub(super) const FIND_VALUE: &str = concat!(
    "SELECT ",
    credential_text!(),
    ", ",
    attribute_text!(),
    ", v.id, v.credential_id, v.attribute_id, v.user_id, v.version, v.created_by, v.created_at, v.updated_by, v.updated_at \
FROM attribute_values v INNER JOIN attributes a ON a.id = v.attribute_id INNER JOIN credentials c ON c.id = v.credential_id \
WHERE v.id = "
);
