//! What a transaction of the store can do. Whatever changes or releases something asks for a permit.

use std::collections::BTreeSet;

use coffre_crypto::value::SealedValue;
use coffre_db::Error;
use coffre_types::{AttributeId, CredentialId, Timestamp, UserId, ValueId, Version};

use super::model::{Attribute, Credential, NewAttribute, NewCredential, Stamp, Value};
use super::policy::{
    Assign, Change, Creation, Delete, Explain, Permit, See, Transfer, Unreleased, Users, Withdraw, WriteValue,
};

/// The result of asking the store.
pub type Result<T> = std::result::Result<T, Error>;

/// A credential with its attributes, and how many of them have their value for a user.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The credential.
    pub credential: Credential,
    /// Its attributes by their numbers.
    pub attributes: Vec<Attribute>,
    /// How many have their value: the standard ones and the user's own.
    pub filled: usize,
}

impl Overview {
    /// Starts without attributes.
    #[must_use]
    pub fn new(credential: Credential) -> Self {
        Self { credential, attributes: Vec::new(), filled: 0 }
    }
}

/// A credential with its attributes and sealed values.
#[derive(Debug)]
pub struct WithValues {
    /// The credential.
    pub credential: Credential,
    /// Its attributes by their numbers.
    pub attributes: Vec<Attribute>,
    /// Its values, as long as nobody was permitted to read them.
    pub values: Unreleased,
}

/// Reading.
pub trait Read {
    /// Finds a credential that is not deleted.
    fn credential(&mut self, id: CredentialId) -> Result<Option<Credential>>;
    /// Finds a credential with its attributes, in one statement.
    fn overview(&mut self, id: CredentialId, user: UserId) -> Result<Option<Overview>>;
    /// Loads the attributes of a credential by their numbers.
    fn attributes(&mut self, permit: &Permit<See>) -> Result<Vec<Attribute>>;
    /// Counts the attributes that have their value for a user: the standard ones and its own.
    fn count_filled(&mut self, permit: &Permit<See>, user: UserId) -> Result<usize>;
    /// Finds a credential with its attributes, the standard values and those of some users, in one statement: the way of a bot.
    fn with_values(&mut self, id: CredentialId, users: Users) -> Result<Option<WithValues>>;
    /// Returns the number of the credential's next entry into a locker.
    fn entry_epoch(&mut self, permit: &Permit<Assign>) -> Result<i64>;
    /// Says which users have stored which of their own values.
    fn stored_by(&mut self, permit: &Permit<Explain>) -> Result<BTreeSet<(UserId, AttributeId)>>;
}

/// What was noted of a user's departure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Departure {
    /// The latest attempt to delete the user that was heard of.
    pub attempt: i64,
    /// Nothing can be given to the user.
    pub held: bool,
    /// It was deleted.
    pub released: bool,
}

/// A value that went, in its last version.
pub type DeletedValue = (ValueId, Version);

/// Changing.
pub trait Write: Read {
    /// Says whether a user is held, because it departs or has departed: nothing can be given to it.
    fn has_departed(&mut self, user: UserId) -> Result<bool>;

    /// Adds a credential with its attributes. Its owner is who made it.
    fn insert_credential(&mut self, creation: &Creation, new: &NewCredential, stamp: Stamp) -> Result<CredentialId>;
    /// Writes name, description, version and stamp where the version is still the one before; says whether it was.
    fn update_credential(&mut self, permit: &Permit<Change>, next: &Credential) -> Result<bool>;
    /// Writes owner, version and stamp where the version is still the one before; says whether it was.
    fn transfer_credential(&mut self, permit: &Permit<Transfer>, next: &Credential) -> Result<bool>;
    /// Writes locker, version and stamp where the version is still the one before, the entry epoch is this, and no locker holds the
    /// credential; raises the epoch. Says whether it was so.
    fn assign_credential(&mut self, permit: &Permit<Assign>, next: &Credential, epoch: i64) -> Result<bool>;
    /// Takes a credential out of its locker where the version is still the one before; says whether it was.
    fn withdraw_credential(&mut self, permit: &Permit<Withdraw>, next: &Credential) -> Result<bool>;
    /// Raises the entry epoch of a credential where it is this.
    fn raise_entry_epoch(&mut self, id: CredentialId, epoch: i64) -> Result<()>;
    /// Deletes a credential with its attributes and values and leaves a tombstone; says which values went.
    fn delete_credential(&mut self, permit: &Permit<Delete>, stamp: Stamp) -> Result<Vec<DeletedValue>>;

    /// Adds attributes.
    fn insert_attributes(&mut self, permit: &Permit<Change>, new: &[NewAttribute], stamp: Stamp) -> Result<()>;
    /// Writes attributes.
    fn update_attributes(&mut self, permit: &Permit<Change>, next: &[Attribute]) -> Result<()>;
    /// Deletes an attribute and its values; says which values went.
    fn delete_attribute(&mut self, permit: &Permit<Change>, id: AttributeId) -> Result<Vec<DeletedValue>>;
    /// Says whether an attribute has any value.
    fn has_values(&mut self, permit: &Permit<Change>, attribute: AttributeId) -> Result<bool>;

    /// Finds a value of a credential without its sealed bytes, with the credential and its attribute, in one statement.
    fn find_value(&mut self, credential: CredentialId, id: ValueId) -> Result<Option<(Credential, Attribute, Value)>>;
    /// Finds the value of an attribute for everybody or for a user.
    fn find_value_of(&mut self, attribute: AttributeId, user: Option<UserId>) -> Result<Option<ValueId>>;
    /// Takes numbers for new values: a value is sealed for its number.
    fn take_value_ids(&mut self, count: usize) -> Result<Vec<ValueId>>;
    /// Adds a value.
    fn insert_value(&mut self, permit: &Permit<WriteValue>, new: &NewValueRow) -> Result<()>;
    /// Writes a value where its version is still the one before; says whether it was.
    fn update_value(
        &mut self,
        permit: &Permit<WriteValue>,
        id: ValueId,
        next: Version,
        stamp: Stamp,
        sealed: &SealedValue,
    ) -> Result<bool>;
    /// Deletes a value; says whether it was there.
    fn delete_value(&mut self, permit: &Permit<WriteValue>, id: ValueId) -> Result<bool>;

    /// Loads the first credentials that a user owns, up to a limit.
    fn owned_by(&mut self, user: UserId, limit: usize) -> Result<Vec<Credential>>;
    /// Counts the credentials that a user owns.
    fn count_owned_by(&mut self, user: UserId) -> Result<i64>;
    /// Returns what was noted of a user's departure.
    fn departure(&mut self, user: UserId) -> Result<Option<Departure>>;
    /// Notes the latest attempt to delete a user who was not released, and whether the user is held.
    fn note_departure(&mut self, user: UserId, attempt: i64, held: bool, now: Timestamp) -> Result<()>;
    /// Deletes a user's own values and notes that it was released; says which values went.
    fn release_user(&mut self, user: UserId, now: Timestamp) -> Result<Vec<DeletedValue>>;
}

/// A value to add.
#[derive(Clone, Debug)]
pub struct NewValueRow {
    /// Its number.
    pub id: ValueId,
    /// Its attribute.
    pub attribute: AttributeId,
    /// The user to whom it belongs.
    pub user: Option<UserId>,
    /// Who and when.
    pub stamp: Stamp,
    /// The sealed bytes.
    pub sealed: SealedValue,
}
