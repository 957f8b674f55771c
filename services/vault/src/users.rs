//! What the vault asks auth about users.

use coffre_channel::Channel;
use coffre_error::{Reason, Refusal};
use coffre_proto::auth::internal::v1::caller_service_client::CallerServiceClient;
use coffre_proto::auth::internal::v1::{DescribeUsersRequest, LookUpUserRequest};
use coffre_types::{Permission, RoleId, UserId};

use crate::domain::access::{Person, PersonRole};
use crate::domain::error::VaultError;

/// How many users auth describes at a time.
const MAX_USERS: usize = 10_000;

/// The way to auth. Clones share it.
#[derive(Clone)]
pub struct Users {
    client: CallerServiceClient<Channel>,
}

impl Users {
    /// Takes the way to auth's internal side.
    #[must_use]
    pub fn new(auth: Channel) -> Self {
        Self { client: CallerServiceClient::new(auth) }
    }

    /// Returns the name of a user; `None` where there is none or it is being deleted.
    ///
    /// # Errors
    /// `AuthUnavailable`.
    pub async fn look_up(&self, user: UserId) -> Result<Option<String>, VaultError> {
        let answer = self.client.clone().look_up_user(LookUpUserRequest { user_id: user.get() }).await;
        let found = answer.map_err(|status| {
            tracing::warn!(code = ?status.code(), "auth did not answer about a user");
            VaultError::AuthUnavailable
        })?;
        let found = found.into_inner();
        Ok(found.exists.then_some(found.username))
    }

    /// Describes users: those that are named, and all who hold one of some roles or permissions. Those that do not exist are left out.
    ///
    /// # Errors
    /// `TooManyPeople`, `AuthUnavailable`.
    pub async fn describe(
        &self,
        users: &[UserId],
        roles: &[RoleId],
        permissions: &[Permission],
    ) -> Result<Vec<Person>, VaultError> {
        if users.len() > MAX_USERS {
            return Err(VaultError::TooManyPeople);
        }
        let request = DescribeUsersRequest {
            user_ids: users.iter().map(|user| user.get()).collect(),
            role_ids: roles.iter().map(|role| role.get()).collect(),
            permission_ids: permissions.iter().map(|permission| permission.id()).collect(),
        };
        let answer = self.client.clone().describe_users(request).await.map_err(|status| {
            if Refusal::from_status(&status).reason() == Reason::ListTooLarge {
                return VaultError::TooManyPeople;
            }
            tracing::warn!(code = ?status.code(), "auth did not describe users");
            VaultError::AuthUnavailable
        })?;
        let people = answer.into_inner().users.into_iter().map(|user| Person {
            id: UserId::from_trusted(user.user_id),
            name: user.username,
            disabled: user.disabled,
            roles: user.roles.into_iter().map(role).collect(),
        });
        Ok(people.collect())
    }
}

fn role(described: coffre_proto::auth::internal::v1::DescribedRole) -> PersonRole {
    PersonRole {
        id: RoleId::from_trusted(described.role_id),
        name: described.name,
        permissions: described.permission_ids.into_iter().filter_map(Permission::from_id).collect(),
    }
}
