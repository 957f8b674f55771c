//! What a transaction of the store can do. Whatever changes something asks for a permit.

use coffre_db::Error;
use coffre_types::{CredentialId, LockerId, RoleId, Timestamp, UserId};

use super::deletion::Marked;
use super::holdings::Fence;
use super::model::{Locker, Member, Membership, NewLocker, Place, Stamp, Who};
use super::policy::{Change, ChangeConsumers, ChangeMembers, Creation, Delete, Enter, Permit};

/// The result of asking the store.
pub type Result<T> = std::result::Result<T, Error>;

/// Whose shares changed: what watchers have to forget.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    /// The memberships of a user.
    User(UserId),
    /// The lockers that a role consumes.
    Role(RoleId),
}

/// A reserved place for a credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The locker.
    pub locker: LockerId,
    /// The credential.
    pub credential: CredentialId,
    /// The credential's entry epoch.
    pub epoch: i64,
}

/// Something that a user holds, or that a role consumes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The locker.
    pub id: LockerId,
    /// Its name.
    pub name: String,
}

/// A deletion that began and did not end, and in whose name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Abandoned {
    /// The deletion.
    pub marked: Marked,
    /// Who asked.
    pub by: UserId,
    /// Its name.
    pub by_name: String,
    /// The id of the call.
    pub request_id: String,
}

/// In whose name, and by which call, a locker is being deleted.
#[derive(Clone, Copy, Debug)]
pub struct Deleter<'a> {
    /// The user.
    pub user: UserId,
    /// Its name.
    pub name: &'a str,
    /// The id of the call.
    pub request_id: &'a str,
}

/// Reading.
pub trait Read {
    /// Finds a locker that is not deleted.
    fn locker(&mut self, id: LockerId) -> Result<Option<Locker>>;
    /// Finds a locker that is not deleted, with how somebody stands to it, in one statement.
    fn place(&mut self, who: &Who, id: LockerId) -> Result<Option<(Locker, Place)>>;
    /// Loads the members by their numbers.
    fn members(&mut self, id: LockerId) -> Result<Vec<Member>>;
    /// Finds a member.
    fn member(&mut self, id: LockerId, user: UserId) -> Result<Option<Membership>>;
    /// Loads the roles that consume it, ascending.
    fn consumers(&mut self, id: LockerId) -> Result<Vec<RoleId>>;
    /// Says whether a role consumes it.
    fn is_consumer(&mut self, id: LockerId, role: RoleId) -> Result<bool>;
    /// Says how often auth was told what a role consumes.
    fn inspections(&mut self, role: RoleId) -> Result<i64>;
    /// Loads the first places reserved in a locker.
    fn entries_of(&mut self, id: LockerId, limit: i64) -> Result<Vec<Entry>>;
    /// Loads the first places that were reserved before a time.
    fn entries_before(&mut self, before: Timestamp, limit: i64) -> Result<Vec<Entry>>;
    /// Loads the deletions that began before a time.
    fn deletions_before(&mut self, before: Timestamp) -> Result<Vec<Abandoned>>;
    /// Loads the first lockers that nobody but this user owns. Who leaves does not count as an owner.
    fn owned_alone(&mut self, user: UserId, limit: i64) -> Result<Vec<Held>>;
    /// Counts the lockers that nobody but this user owns.
    fn count_owned_alone(&mut self, user: UserId) -> Result<i64>;
    /// Loads the first lockers that a role consumes.
    fn consumed_by(&mut self, role: RoleId, limit: i64) -> Result<Vec<Held>>;
    /// Counts the lockers that a role consumes.
    fn count_consumed_by(&mut self, role: RoleId) -> Result<i64>;
}

/// Changing.
pub trait Write: Read {
    /// Finds the fence of a user.
    fn user_fence(&mut self, user: UserId) -> Result<Option<Fence>>;
    /// Finds the fence of a role.
    fn role_fence(&mut self, role: RoleId) -> Result<Option<Fence>>;
    /// Says whether a user is leaving or left.
    fn has_departed(&mut self, user: UserId) -> Result<bool> {
        Ok(self.user_fence(user)?.is_some_and(|fence| fence.held))
    }
    /// Says whether a role is being deleted or is gone.
    fn role_has_departed(&mut self, role: RoleId) -> Result<bool> {
        Ok(self.role_fence(role)?.is_some_and(|fence| fence.held))
    }
    /// Counts the owners of a locker, without those who leave.
    fn count_owners(&mut self, id: LockerId) -> Result<i64>;
    /// Tells watchers whose shares changed. The counter's row stays locked until the transaction ends, so it comes last.
    fn tell(&mut self, subjects: &[Subject], now: Timestamp) -> Result<()>;

    /// Adds a locker; who made it gets every membership.
    fn insert_locker(&mut self, creation: &Creation, new: &NewLocker, stamp: Stamp) -> Result<LockerId>;
    /// Writes name, description, version and stamp where the version is still the one before; says whether it was.
    fn update_locker(&mut self, permit: &Permit<Change>, next: &Locker) -> Result<bool>;
    /// Raises version and stamp where the version is still the one before; says whether it was. Two that change members or consumers at
    /// once meet here.
    fn raise_locker(&mut self, next: &Locker) -> Result<bool>;
    /// Adds a member or writes what it may do.
    fn set_member(&mut self, permit: &Permit<ChangeMembers>, member: Member) -> Result<()>;
    /// Removes a member.
    fn remove_member(&mut self, permit: &Permit<ChangeMembers>, user: UserId) -> Result<()>;
    /// Adds a consumer.
    fn add_consumer(&mut self, permit: &Permit<ChangeConsumers>, role: RoleId) -> Result<()>;
    /// Removes a consumer.
    fn remove_consumer(&mut self, permit: &Permit<ChangeConsumers>, role: RoleId) -> Result<()>;

    /// Marks a locker as being deleted in the name of whoever asks.
    fn mark(&mut self, permit: &Permit<Delete>, deletions: i64, by: &Deleter<'_>, now: Timestamp) -> Result<()>;
    /// Takes the mark of this deletion away, if it is still there.
    fn unmark(&mut self, marked: Marked) -> Result<()>;
    /// Removes members and consumers and leaves a tombstone.
    fn bury(&mut self, marked: Marked, stamp: Stamp) -> Result<()>;

    /// Reserves a place; once more is fine.
    fn reserve(&mut self, permit: &Permit<Enter>, entry: Entry, now: Timestamp) -> Result<()>;
    /// Gives a place up that vault has settled.
    fn close(&mut self, entry: Entry) -> Result<()>;

    /// Writes the fence of a user.
    fn set_user_fence(&mut self, user: UserId, fence: Fence, now: Timestamp) -> Result<()>;
    /// Writes the fence of a role.
    fn set_role_fence(&mut self, role: RoleId, fence: Fence, now: Timestamp) -> Result<()>;
    /// Removes every membership of a user who left and raises the lockers' versions; says which lockers.
    fn release_user(&mut self, user: UserId, by: UserId, now: Timestamp) -> Result<Vec<LockerId>>;
}
