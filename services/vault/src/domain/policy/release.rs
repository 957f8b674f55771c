//! Which values leave, and for whom.

use coffre_types::{CredentialId, UserId};

use crate::domain::model::Value;

/// Whose user-provided values are read, besides the standard ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Users {
    /// Nobody's.
    Nobody,
    /// One user's.
    One(UserId),
    /// Everybody's.
    All,
}

/// The proof that values may be read, and which. Only the policy makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadScope {
    pub(super) credential: CredentialId,
    pub(super) users: Users,
    pub(super) released: bool,
}

impl ReadScope {
    /// Returns the credential.
    #[must_use]
    pub fn credential(&self) -> CredentialId {
        self.credential
    }

    /// Returns whose values.
    #[must_use]
    pub fn users(&self) -> Users {
        self.users
    }

    /// Says whether the secrets leave, or the entries alone.
    #[must_use]
    pub fn released(&self) -> bool {
        self.released
    }
}

/// Values that were loaded and not yet released. Only a [`ReadScope`] gets them out.
#[derive(Debug)]
pub struct Unreleased(Vec<Value>);

impl Unreleased {
    /// Takes values as they were loaded.
    #[must_use]
    pub fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// Returns those that the scope covers, in the order of their attributes.
    #[must_use]
    pub fn release(self, scope: &ReadScope) -> Vec<Value> {
        let mut values = self.0;
        values.retain(|value| {
            value.credential == scope.credential
                && match (scope.users, value.user) {
                    (_, None) | (Users::All, _) => true,
                    (Users::One(reader), Some(user)) => reader == user,
                    (Users::Nobody, Some(_)) => false,
                }
        });
        values.sort_unstable_by_key(|value| (value.attribute, value.user, value.id));
        values
    }
}
