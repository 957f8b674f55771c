//! Rows, and what they become.

use coffre_types::{Description, LockerId, Name, Timestamp, UserId, Version};
use diesel::Queryable;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use crate::domain::model::{Locker, Member, Membership, Place, Stamp};

/// The columns of [`LOCKER`].
pub(super) type LockerTypes =
    (BigInt, Text, Nullable<Text>, BigInt, BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>);

/// A locker `l`, as text.
pub(super) const LOCKER: &str = "l.id, l.name, l.description, l.version, l.created_by, l.created_at, l.updated_by, l.updated_at, l.deletions, l.deleting_at";

#[derive(Queryable)]
pub(super) struct LockerRow {
    id: i64,
    name: String,
    description: Option<String>,
    version: i64,
    created_by: i64,
    created_at: i64,
    updated_by: i64,
    updated_at: i64,
    deletions: i64,
    deleting_at: Option<i64>,
}

impl From<LockerRow> for Locker {
    fn from(row: LockerRow) -> Self {
        Self {
            id: LockerId::from_trusted(row.id),
            name: Name::from_trusted(row.name),
            description: row.description.map(Description::from_trusted),
            version: Version::from_trusted(row.version),
            stamp: Stamp {
                created_by: UserId::from_trusted(row.created_by),
                created_at: Timestamp::from_micros(row.created_at),
                updated_by: UserId::from_trusted(row.updated_by),
                updated_at: Timestamp::from_micros(row.updated_at),
            },
            deletions: row.deletions,
            deleting: row.deleting_at.is_some(),
        }
    }
}

/// The columns of a locker, and of how somebody stands to it: own and manage where it is a member, and whether one of its roles consumes it.
pub(super) type PlacedTypes = (LockerTypes, Nullable<Bool>, Nullable<Bool>, Bool);

/// A row of [`PlacedTypes`].
pub(super) type PlacedRow = (LockerRow, Option<bool>, Option<bool>, bool);

pub(super) fn placed((locker, own, manage, consumer): PlacedRow) -> (Locker, Place) {
    let member = own.zip(manage).map(|(own, manage)| Membership { own, manage });
    (Locker::from(locker), Place { member, consumer })
}

/// The columns of a member: user, own, manage.
pub(super) type MemberTypes = (BigInt, Bool, Bool);

/// A row of [`MemberTypes`].
pub(super) type MemberRow = (i64, bool, bool);

pub(super) fn member((user, own, manage): MemberRow) -> Member {
    Member { user: UserId::from_trusted(user), membership: Membership { own, manage } }
}
