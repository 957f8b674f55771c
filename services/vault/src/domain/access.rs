//! Who may do what with a credential, and why; and for whom values are missing.
//!
//! Nothing is decided here: the matrix of [`super::policy`] is read for people who are not the caller.

use std::collections::{BTreeMap, BTreeSet};

use coffre_types::{AttributeId, LockerId, Permission, PermissionSet, RoleId, UserId};

use super::Asker;
use super::credentials::find;
use super::error::VaultError;
use super::model::{Attribute, Credential};
use super::policy::{Action, Explain, Permit, See, Standing};
use super::ports::Read;

type Result<T> = std::result::Result<T, VaultError>;

/// A user, as auth describes it.
#[derive(Clone, Debug)]
pub struct Person {
    /// The user.
    pub id: UserId,
    /// Its name.
    pub name: String,
    /// It may not sign in.
    pub disabled: bool,
    /// Its roles in the order of their ids.
    pub roles: Vec<PersonRole>,
}

/// A role of a user.
#[derive(Clone, Debug)]
pub struct PersonRole {
    /// The role.
    pub id: RoleId,
    /// Its name.
    pub name: String,
    /// Its permissions.
    pub permissions: PermissionSet,
}

impl Person {
    fn has(&self, permission: Permission) -> bool {
        self.roles.iter().any(|role| role.permissions.contains(permission))
    }
}

/// Who shares a locker.
#[derive(Clone, Debug)]
pub struct LockerSharers {
    /// The locker.
    pub id: LockerId,
    /// Its name.
    pub name: String,
    /// Its members: managers and participants.
    pub members: BTreeMap<UserId, Standing>,
    /// The roles that consume it.
    pub consumers: BTreeSet<RoleId>,
}

/// What one user may do with a credential, and through what.
#[derive(Clone, Debug)]
pub struct UserAccess {
    /// The user.
    pub id: UserId,
    /// Its name.
    pub name: String,
    /// It may not sign in.
    pub disabled: bool,
    /// What it may do, by all its standings together.
    pub actions: Vec<Action>,
    /// Through what, in the order of the matrix.
    pub paths: Vec<AccessPath>,
}

/// One way in which a user stands to a credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessPath {
    /// How.
    pub standing: Standing,
    /// The role through which it consumes, or that gives the permission.
    pub role: Option<(RoleId, String)>,
    /// The base permission that is missing; `None`: it is effective.
    pub missing: Option<Permission>,
    /// What it allows: nothing where it is not effective.
    pub actions: Vec<Action>,
}

/// What the caller may be told.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The credential.
    pub credential: Credential,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// The permit to be told.
    pub permit: Permit<Explain>,
}

/// Finds the credential of which the caller asks who may do what: a user, or (`None`) everybody.
///
/// # Errors
/// `CredentialNotFound`, `PermissionRequired`, `NotPermitted`.
pub fn may_explain<T: Read>(
    tx: &mut T,
    by: Asker<'_>,
    id: coffre_types::CredentialId,
    user: Option<UserId>,
) -> Result<Explained> {
    let (credential, rights) = find(tx, by, id)?;
    let permit = rights.permit_explain(user)?;
    let attributes = tx.attributes(&rights.permit(See)?)?;
    Ok(Explained { credential, attributes, permit })
}

/// Explains what a user may do with a credential in a locker, or in none.
#[must_use]
pub fn explain(credential: &Credential, locker: Option<&LockerSharers>, person: Person) -> UserAccess {
    // Where no locker holds it there is nothing to take it out of.
    let applies = |action: &Action| *action != Action::Withdraw || credential.locker.is_some();
    let mut paths: Vec<AccessPath> = Vec::new();
    for standing in Standing::ALL {
        let missing = (!person.has(standing.base())).then(|| standing.base());
        let actions = standing.actions().filter(|action| missing.is_none() && applies(action)).collect();
        let direct = AccessPath { standing, role: None, missing, actions };
        let through = |role: &PersonRole| AccessPath { role: Some((role.id, role.name.clone())), ..direct.clone() };
        match standing {
            Standing::Owner if credential.owner == person.id => paths.push(direct),
            Standing::Manager | Standing::Participant
                if locker.and_then(|locker| locker.members.get(&person.id)) == Some(&standing) =>
            {
                paths.push(direct);
            }
            Standing::Owner | Standing::Manager | Standing::Participant => {}
            Standing::Consumer => {
                let consumers = locker.map(|locker| &locker.consumers);
                let consuming = |role: &&PersonRole| consumers.is_some_and(|roles| roles.contains(&role.id));
                paths.extend(person.roles.iter().filter(consuming).map(through));
            }
            Standing::LockerAdmin | Standing::ValueAdmin => {
                let giving = |role: &&PersonRole| role.permissions.contains(standing.base());
                paths.extend(person.roles.iter().filter(giving).map(through));
            }
        }
    }
    let allowed = |action: &Action| paths.iter().any(|path| path.actions.contains(action));
    let actions = Action::ALL.into_iter().filter(allowed).collect();
    UserAccess { id: person.id, name: person.name, disabled: person.disabled, actions, paths }
}

/// What one consumer has not stored yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingValues {
    /// The user.
    pub id: UserId,
    /// Its name.
    pub name: String,
    /// It may not sign in.
    pub disabled: bool,
    /// The user-provided attributes without a value of this user.
    pub attributes: Vec<AttributeId>,
}

/// Says which consumers lack which of their own values. Whoever consumes without the base permission cannot store any and is left out.
#[must_use]
pub fn missing_values(
    attributes: &[Attribute],
    consumers: Vec<Person>,
    stored: &BTreeSet<(UserId, AttributeId)>,
) -> Vec<MissingValues> {
    let own: Vec<AttributeId> =
        attributes.iter().filter(|attribute| attribute.traits.user_provided).map(|attribute| attribute.id).collect();
    let consumers = consumers.into_iter().filter(|person| person.has(Standing::Consumer.base()));
    let missing = consumers.map(|person| MissingValues {
        attributes: own.iter().copied().filter(|attribute| !stored.contains(&(person.id, *attribute))).collect(),
        id: person.id,
        name: person.name,
        disabled: person.disabled,
    });
    missing.filter(|user| !user.attributes.is_empty()).collect()
}

#[cfg(test)]
mod tests;
