//! The use cases about who may do what, and for whom values are missing.

use coffre_types::{CredentialId, Permission, RoleId, UserId};

use super::{Call, Result, Vault};
use crate::domain::access::{self, Explained, LockerSharers, MissingValues, UserAccess};
use crate::domain::error::VaultError;
use crate::domain::policy::Standing;

impl Vault {
    /// Explains who may do what with a credential: one user, or everybody who stands to it in any way.
    ///
    /// # Errors
    /// `CredentialNotFound`, `NotPermitted`, `PermissionRequired`, `UserNotFound`, `TooManyPeople`, `LockerUnavailable`, `AuthUnavailable`.
    pub async fn explain_access(
        &self,
        call: Call,
        id: CredentialId,
        user: Option<UserId>,
    ) -> Result<(Vec<UserAccess>, Option<LockerSharers>)> {
        let record = call.record.clone();
        if let Some(user) = user {
            record.detail("user", user.to_string());
        }
        // Whom a caller would not find in the list of users, it does not find here either.
        let lists_users = [Permission::ManageUsers, Permission::ManageMyLockers, Permission::AdministerAllLockers];
        let knows = lists_users.into_iter().any(|permission| call.caller.has(permission));
        let stranger = user.filter(|user| !knows && *user != call.caller.user_id);
        let Explained { credential, .. } = self.read(call, move |tx, by| access::may_explain(tx, by, id, user)).await?;
        let locker = self.sharers_of(credential.locker).await?;
        let people = match user {
            Some(user) => {
                let people = self.users.describe(&[user], &[], &[]).await?;
                if people.is_empty() {
                    return Err(VaultError::UserNotFound(user));
                }
                people
            }
            None => {
                let mut users = vec![credential.owner];
                users.extend(locker.iter().flat_map(|locker| locker.members.keys()));
                let roles: Vec<RoleId> = locker.iter().flat_map(|locker| locker.consumers.iter().copied()).collect();
                let everywhere = [Standing::LockerAdmin.base(), Standing::ValueAdmin.base()];
                self.users.describe(&users, &roles, &everywhere).await?
            }
        };
        let explained = people.into_iter().map(|person| access::explain(&credential, locker.as_ref(), person));
        // Whoever lost its standing between the questions is left out, unless it was asked about.
        let explained: Vec<_> = explained.filter(|access| user.is_some() || !access.paths.is_empty()).collect();
        if let Some(user) = stranger.filter(|_| explained.iter().all(|access| access.paths.is_empty())) {
            return Err(VaultError::UserNotFound(user));
        }
        record.detail("users", explained.len().to_string());
        Ok((explained, locker))
    }

    /// Lists the consumers who have not yet stored every value of their own.
    ///
    /// # Errors
    /// As for [`Self::explain_access`].
    pub async fn missing_values(&self, call: Call, id: CredentialId) -> Result<Vec<MissingValues>> {
        let record = call.record.clone();
        let Explained { credential, attributes, permit } =
            self.read(call, move |tx, by| access::may_explain(tx, by, id, None)).await?;
        let locker = self.sharers_of(credential.locker).await?;
        let roles: Vec<RoleId> = locker.iter().flat_map(|locker| locker.consumers.iter().copied()).collect();
        let wanted = attributes.iter().any(|attribute| attribute.traits.user_provided) && !roles.is_empty();
        let missing = if wanted {
            let consumers = self.users.describe(&[], &roles, &[]).await?;
            let stored = self.store.read(move |tx| Ok(crate::domain::ports::Read::stored_by(tx, &permit)?)).await?;
            access::missing_values(&attributes, consumers, &stored)
        } else {
            Vec::new()
        };
        record.detail("users", missing.len().to_string());
        Ok(missing)
    }

    async fn sharers_of(&self, locker: Option<coffre_types::LockerId>) -> Result<Option<LockerSharers>> {
        let Some(locker) = locker else { return Ok(None) };
        match self.lockers.describe(locker).await {
            // The credential left it a moment ago, and then it was deleted: the next call finds that.
            Err(VaultError::LockerNotFound(_)) => Err(VaultError::LockerUnavailable),
            found => found.map(Some),
        }
    }
}
