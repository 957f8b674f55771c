//! What lockers ask auth about users and roles.

use std::time::Duration;

use coffre_channel::Channel;
use coffre_proto::auth::internal::v1::caller_service_client::CallerServiceClient;
use coffre_proto::auth::internal::v1::{LookUpRoleRequest, LookUpUserRequest};
use coffre_types::{RoleId, UserId};
use tokio::time::timeout;
use tonic::{Response, Status};

use crate::domain::error::LockerError;

/// How long auth may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A role, as auth knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownRole {
    /// Its name.
    pub name: String,
    /// A system role, which consumes nothing.
    pub system: bool,
    /// The user in question holds it.
    pub held: bool,
}

/// The way to auth. Clones share it.
#[derive(Clone)]
pub struct Directory {
    client: CallerServiceClient<Channel>,
}

impl Directory {
    /// Takes the way to auth's internal side.
    #[must_use]
    pub fn new(auth: Channel) -> Self {
        Self { client: CallerServiceClient::new(auth) }
    }

    /// Returns the name of a user; `None` where there is none or it is being deleted.
    ///
    /// # Errors
    /// `AuthUnavailable`.
    pub async fn user(&self, user: UserId) -> Result<Option<String>, LockerError> {
        let mut client = self.client.clone();
        let found = answered(client.look_up_user(LookUpUserRequest { user_id: user.get() })).await?;
        Ok(found.exists.then_some(found.username))
    }

    /// Returns what is known of a role, and whether a user holds it; `None` where there is none or it is being deleted.
    ///
    /// # Errors
    /// `AuthUnavailable`.
    pub async fn role(&self, role: RoleId, holder: Option<UserId>) -> Result<Option<KnownRole>, LockerError> {
        let mut client = self.client.clone();
        let found = answered(
            client.look_up_role(LookUpRoleRequest { role_id: role.get(), user_id: holder.map_or(0, UserId::get) }),
        )
        .await?;
        Ok(found.exists.then_some(KnownRole { name: found.name, system: found.system, held: found.held }))
    }
}

async fn answered<T>(asked: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, LockerError> {
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => {
            tracing::warn!(code = ?status.code(), "auth did not answer about a user or a role");
            Err(LockerError::AuthUnavailable)
        }
        Err(_) => Err(LockerError::AuthUnavailable),
    }
}
