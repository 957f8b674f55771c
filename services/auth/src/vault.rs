//! The vault, as auth asks it.

use async_trait::async_trait;
use coffre_channel::Channel;
use coffre_proto::vault::internal::v1::ReleaseUserRequest;
use coffre_proto::vault::internal::v1::holdings_service_client::HoldingsServiceClient;
use coffre_types::UserId;
use std::time::Duration;
use tokio::time::timeout;

use crate::domain::ports::{Holdings, LetGo, VaultSilent};

/// How long the vault may take; it removes the user's own values in that time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the vault's internal service.
pub(crate) struct Vault(pub(crate) Channel);

#[async_trait]
impl LetGo for Vault {
    async fn release(&self, user: UserId) -> Result<Option<Holdings>, VaultSilent> {
        let mut client = HoldingsServiceClient::new(self.0.clone());
        let asked = client.release_user(ReleaseUserRequest { user_id: user.get() });
        let answer = match timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => {
                tracing::warn!(code = ?status.code(), "the vault did not let go of a user");
                return Err(VaultSilent);
            }
            Err(_) => return Err(VaultSilent),
        };
        let total = answer.total.max(i64::try_from(answer.credentials.len()).unwrap_or(i64::MAX));
        let first =
            answer.credentials.into_iter().map(|held| format!("credential {} ({})", held.id, held.name)).collect();
        Ok((total > 0).then_some(Holdings { total, first }))
    }
}
