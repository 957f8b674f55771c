//! Credentials, attributes, values.

use coffre_types::{
    AttributeId, Caller, CredentialId, Description, LockerId, Name, Timestamp, UserId, ValueId, Version,
};

use super::policy::Rights;

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
    pub fn new(caller: &Caller, now: Timestamp) -> Self {
        Self { created_by: caller.user_id, created_at: now, updated_by: caller.user_id, updated_at: now }
    }

    /// Returns the stamp after a change.
    #[must_use]
    pub fn touched(self, caller: &Caller, now: Timestamp) -> Self {
        self.touched_by(caller.user_id, now)
    }

    /// Returns the stamp after a change of a user who is no caller here.
    #[must_use]
    pub fn touched_by(self, user: UserId, now: Timestamp) -> Self {
        Self { updated_by: user, updated_at: now, ..self }
    }
}

/// A credential without its attributes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credential {
    /// Its number.
    pub id: CredentialId,
    /// Its name as typed.
    pub name: Name,
    /// For people.
    pub description: Option<Description>,
    /// The owner.
    pub owner: UserId,
    /// The locker that holds it.
    pub locker: Option<LockerId>,
    /// How often it was changed.
    pub version: Version,
    /// Who and when.
    pub stamp: Stamp,
}

/// An attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// Its number.
    pub id: AttributeId,
    /// Its credential.
    pub credential: CredentialId,
    /// Its name as typed.
    pub name: Name,
    /// For people.
    pub description: Option<Description>,
    /// What kind it is.
    pub traits: Traits,
    /// How often it was changed.
    pub version: Version,
    /// Who and when.
    pub stamp: Stamp,
}

impl Attribute {
    /// Says in a line what it is, for the audit.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{} {} ({})", self.id, self.name, self.traits.words())
    }
}

/// What kind an attribute is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traits {
    /// One value a user, instead of one for everybody.
    pub user_provided: bool,
    /// Answers that echo a written value leave it out.
    pub masked: bool,
    /// The value is a password.
    pub password: bool,
}

impl Traits {
    /// Says in words what kind it is, for the audit.
    #[must_use]
    pub fn words(self) -> String {
        let kind = if self.user_provided { "user-provided" } else { "standard" };
        let masked = if self.masked { ", masked" } else { "" };
        let password = if self.password { ", password" } else { "" };
        format!("{kind}{masked}{password}")
    }
}

/// A value, sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    /// Its number.
    pub id: ValueId,
    /// Its credential.
    pub credential: CredentialId,
    /// Its attribute.
    pub attribute: AttributeId,
    /// The user to whom it belongs; `None` for a standard value.
    pub user: Option<UserId>,
    /// How often it was changed.
    pub version: Version,
    /// Who and when.
    pub stamp: Stamp,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
}

/// A credential as a caller sees it.
#[derive(Clone, Debug)]
pub struct View {
    /// The credential.
    pub credential: Credential,
    /// Its attributes by their numbers.
    pub attributes: Vec<Attribute>,
    /// Every attribute has its value for the caller.
    pub completed: bool,
    /// What the caller may do.
    pub rights: Rights,
}

/// A credential or attribute to make.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// The name.
    pub name: Name,
    /// For people.
    pub description: Option<Description>,
    /// Its attributes, 1 to 50, with names that differ.
    pub attributes: Vec<NewAttribute>,
}

/// An attribute to make.
#[derive(Clone, Debug)]
pub struct NewAttribute {
    /// The name.
    pub name: Name,
    /// For people.
    pub description: Option<Description>,
    /// What kind it is.
    pub traits: Traits,
}

/// How many attributes a credential has at most.
pub const MAX_ATTRIBUTES: usize = 50;
/// How long a value is at most, in bytes of UTF-8.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;
