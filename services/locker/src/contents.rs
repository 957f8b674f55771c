//! What lockers ask vault about what lies in them.

use std::time::Duration;

use coffre_channel::Channel;
use coffre_proto::vault::internal::v1::contents_service_client::ContentsServiceClient;
use coffre_proto::vault::internal::v1::{CountCredentialsRequest, SettleEntryRequest};
use coffre_types::LockerId;
use tokio::time::timeout;
use tonic::{Response, Status};

use crate::domain::error::LockerError;
use crate::domain::ports::Entry;

/// How long vault may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to vault. Clones share it.
#[derive(Clone)]
pub struct Contents {
    client: ContentsServiceClient<Channel>,
}

impl Contents {
    /// Takes the way to vault's internal side.
    #[must_use]
    pub fn new(vault: Channel) -> Self {
        Self { client: ContentsServiceClient::new(vault).max_decoding_message_size(usize::MAX) }
    }

    /// Counts the credentials in lockers, in the order of the lockers.
    ///
    /// # Errors
    /// `VaultUnavailable`.
    pub async fn count(&self, lockers: Vec<LockerId>) -> Result<Vec<i64>, LockerError> {
        if lockers.is_empty() {
            return Ok(Vec::new());
        }
        let asked = lockers.len();
        let locker_ids = lockers.into_iter().map(LockerId::get).collect();
        let mut client = self.client.clone();
        let counts = answered(client.count_credentials(CountCredentialsRequest { locker_ids })).await?.counts;
        if counts.len() == asked {
            return Ok(counts);
        }
        tracing::error!(
            asked,
            answered = counts.len(),
            "vault counted another number of lockers than it was asked for"
        );
        Err(LockerError::VaultUnavailable)
    }

    /// Ends the entry of a credential: afterwards it has committed, and is counted, or never will.
    ///
    /// # Errors
    /// `VaultUnavailable`.
    pub async fn settle(&self, entry: Entry) -> Result<(), LockerError> {
        let request = SettleEntryRequest { credential_id: entry.credential.get(), epoch: entry.epoch };
        let mut client = self.client.clone();
        answered(client.settle_entry(request)).await.map(|_| ())
    }
}

async fn answered<T>(asked: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, LockerError> {
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => {
            tracing::warn!(code = ?status.code(), "vault did not answer about what lies in lockers");
            Err(LockerError::VaultUnavailable)
        }
        Err(_) => Err(LockerError::VaultUnavailable),
    }
}
