//! What the vault asks auth about users.

use coffre_channel::Channel;
use coffre_proto::auth::internal::v1::LookUpUserRequest;
use coffre_proto::auth::internal::v1::caller_service_client::CallerServiceClient;
use coffre_types::UserId;

use crate::domain::error::VaultError;

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
}
