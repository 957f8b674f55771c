//! Lockers, members, and how somebody stands to a locker.

use coffre_types::{Description, LockerId, Name, PermissionSet, RoleId, Timestamp, UserId, Version};

/// Who made and last changed something, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Timestamp,
    /// Who changed it last.
    pub updated_by: UserId,
    /// When.
    pub updated_at: Timestamp,
}

impl Stamp {
    /// Returns the stamp of something new.
    #[must_use]
    pub fn new(user: UserId, now: Timestamp) -> Self {
        Self { created_by: user, created_at: now, updated_by: user, updated_at: now }
    }

    /// Returns the stamp after a change.
    #[must_use]
    pub fn touched(self, user: UserId, now: Timestamp) -> Self {
        Self { updated_by: user, updated_at: now, ..self }
    }
}

/// A locker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Locker {
    /// Its number.
    pub id: LockerId,
    /// Its name as typed.
    pub name: Name,
    /// For people.
    pub description: Option<Description>,
    /// How often it was changed.
    pub version: Version,
    /// Who and when.
    pub stamp: Stamp,
    /// How often its deletion began.
    pub deletions: i64,
    /// It is being deleted, and takes nothing any more.
    pub deleting: bool,
}

/// A locker to make.
#[derive(Clone, Debug)]
pub struct NewLocker {
    /// The name.
    pub name: Name,
    /// For people.
    pub description: Option<Description>,
}

/// The fields that an update carries; what is absent stays.
#[derive(Clone, Debug)]
pub struct LockerPatch {
    /// The locker.
    pub id: LockerId,
    /// The version that the caller read.
    pub version: Option<Version>,
    /// `If-Match`.
    pub etag: String,
    /// A new name.
    pub name: Option<Name>,
    /// A new description; `Some(None)` removes it.
    pub description: Option<Option<Description>>,
}

/// What a member may do. Every member participates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Membership {
    /// Change members and delete the locker.
    pub own: bool,
    /// Change the locker and its consumers.
    pub manage: bool,
}

impl Membership {
    /// Of whoever makes a locker, or inherits it.
    pub const FULL: Self = Self { own: true, manage: true };

    /// Says in words what it allows, for the audit.
    #[must_use]
    pub fn words(self) -> String {
        let own = if self.own { ", own" } else { "" };
        let manage = if self.manage { ", manage" } else { "" };
        format!("participate{own}{manage}")
    }

    /// Returns what both allow together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { own: self.own || other.own, manage: self.manage || other.manage }
    }
}

/// A member of a locker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// The user.
    pub user: UserId,
    /// What it may do.
    pub membership: Membership,
}

/// How somebody stands to a locker, whether that is effective or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The membership.
    pub member: Option<Membership>,
    /// A role consumes it.
    pub consumer: bool,
}

/// Somebody who wants something: a caller, or whoever brings a credential.
#[derive(Clone, Debug)]
pub struct Who {
    /// The user.
    pub user: UserId,
    /// Its roles.
    pub roles: Vec<RoleId>,
    /// The permissions of all roles together.
    pub permissions: PermissionSet,
}

impl From<&coffre_types::Caller> for Who {
    fn from(caller: &coffre_types::Caller) -> Self {
        Self { user: caller.user_id, roles: caller.roles.to_vec(), permissions: caller.permissions }
    }
}

/// A locker as a caller sees it.
#[derive(Clone, Debug)]
pub struct View {
    /// The locker.
    pub locker: Locker,
    /// How the caller stands to it.
    pub place: Place,
    /// Members and count, where the list was asked for them.
    pub details: Option<Details>,
}

/// What a detailed list adds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Details {
    /// The members in the order of their ids; none for consumers.
    pub members: Vec<Member>,
    /// How many credentials it holds.
    pub credentials: i64,
}
