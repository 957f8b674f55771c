//! What the vault asks the audit service.

use std::time::Duration;

use coffre_channel::Channel;
use coffre_proto::audit::internal::v1::reading_service_client::ReadingServiceClient;
use coffre_proto::audit::internal::v1::{GetNewestTermRequest, ListOwnEntriesRequest};
use coffre_proto::audit::v1::Entry;
use coffre_types::UserId;
use tokio::time::timeout;
use tonic::Code;

use crate::domain::error::VaultError;

/// How long audit may take to answer: it waits half a second itself, until what was just done is in the log.
const ANSWER: Duration = Duration::from_secs(2);

/// The way to audit. Clones share it.
#[derive(Clone)]
pub struct Audit {
    client: ReadingServiceClient<Channel>,
}

impl Audit {
    /// Takes the way to audit's internal side.
    #[must_use]
    pub fn new(audit: Channel) -> Self {
        Self { client: ReadingServiceClient::new(audit).max_decoding_message_size(usize::MAX) }
    }

    /// Returns the last entries about calls of a user, the newest first.
    ///
    /// # Errors
    /// `AuditUnavailable`.
    pub async fn own_entries(&self, user: UserId, limit: i32) -> Result<Vec<Entry>, VaultError> {
        let request = ListOwnEntriesRequest { user_id: user.get(), limit };
        match timeout(ANSWER, self.client.clone().list_own_entries(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().entries),
            Ok(Err(status)) => Err(unavailable(Some(status.code()))),
            Err(_) => Err(unavailable(None)),
        }
    }

    /// Returns the newest term of the vault's keys that the log tells of; 0 for none.
    ///
    /// # Errors
    /// `AuditUnavailable`.
    pub async fn newest_term(&self) -> Result<u32, VaultError> {
        match timeout(ANSWER, self.client.clone().get_newest_term(GetNewestTermRequest {})).await {
            Ok(Ok(answer)) => u32::try_from(answer.into_inner().term).map_err(|_| unavailable(Some(Code::OutOfRange))),
            Ok(Err(status)) => Err(unavailable(Some(status.code()))),
            Err(_) => Err(unavailable(None)),
        }
    }
}

fn unavailable(code: Option<Code>) -> VaultError {
    tracing::warn!(?code, "audit did not answer");
    VaultError::AuditUnavailable
}
