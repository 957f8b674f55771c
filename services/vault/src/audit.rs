//! What the vault asks the audit service.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::Outage;
use coffre_channel::Channel;
use coffre_proto::audit::internal::v1::reading_service_client::ReadingServiceClient;
use coffre_proto::audit::internal::v1::{GetNewestTermRequest, ListOwnEntriesRequest};
use coffre_proto::audit::v1::Entry;
use coffre_types::{Clock, UserId};
use tokio::time::timeout;
use tonic::{Code, Response, Status};

use crate::domain::error::VaultError;

/// How long audit may take to answer: it waits half a second itself, until what was just done is in the log.
const ANSWER: Duration = Duration::from_secs(2);

/// The way to audit. Clones share it.
#[derive(Clone)]
pub struct Audit {
    client: ReadingServiceClient<Channel>,
    clock: Arc<dyn Clock>,
    outage: Arc<Outage>,
}

impl Audit {
    /// Takes the way to audit's internal side.
    #[must_use]
    pub fn new(audit: Channel, clock: Arc<dyn Clock>) -> Self {
        let client = ReadingServiceClient::new(audit).max_decoding_message_size(usize::MAX);
        Self { client, clock, outage: Arc::default() }
    }

    /// Returns the last entries about calls of a user, the newest first.
    ///
    /// # Errors
    /// `AuditUnavailable`.
    pub async fn own_entries(&self, user: UserId, limit: i32) -> Result<Vec<Entry>, VaultError> {
        let request = ListOwnEntriesRequest { user_id: user.get(), limit };
        let answer = self.answered(self.client.clone().list_own_entries(request)).await?;
        Ok(answer.entries)
    }

    /// Returns the newest term of the vault's keys that the log tells of; 0 for none.
    ///
    /// # Errors
    /// `AuditUnavailable`.
    pub async fn newest_term(&self) -> Result<u32, VaultError> {
        let answer = self.answered(self.client.clone().get_newest_term(GetNewestTermRequest {})).await?;
        u32::try_from(answer.term).map_err(|_| self.unavailable(Some(Code::OutOfRange)))
    }

    async fn answered<T>(&self, asked: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, VaultError> {
        match timeout(ANSWER, asked).await {
            Ok(Ok(answer)) => {
                if let Some(calls) = self.outage.ended() {
                    tracing::info!(calls, "audit answers again");
                }
                Ok(answer.into_inner())
            }
            Ok(Err(status)) => Err(self.unavailable(Some(status.code()))),
            Err(_) => Err(self.unavailable(None)),
        }
    }

    /// Audit is asked by whoever calls, and once a second after the start: the log tells of it as of all that fails call by call.
    fn unavailable(&self, code: Option<Code>) -> VaultError {
        if let Some(calls) = self.outage.failed(self.clock.monotonic()) {
            let reason = code.map_or("it said nothing in time", |code| code.description());
            tracing::warn!(calls, reason, "audit did not answer");
        }
        VaultError::AuditUnavailable
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use coffre_types::{FixedClock, Timestamp};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_audit_that_is_away_is_told_once_and_counted_every_minute() {
        let (lines, clock) = (Lines::default(), Arc::new(FixedClock::new(Timestamp::from_micros(0))));
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _here = tracing::subscriber::set_default(subscriber);
        // Leads nowhere: every call is answered with UNAVAILABLE at once.
        let audit = Audit::new(Channel::deferred().0, clock.clone());
        let told = || {
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            text.lines().filter(|line| line.contains("audit did not answer")).map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        for _ in 0..60 {
            audit.newest_term().await.unwrap_err();
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(told().len(), 1, "{:?}", told());
        audit.own_entries(UserId::new(1).unwrap(), 1).await.unwrap_err();
        let told = told();
        assert!(told.len() == 2 && told[1].contains("calls=60"), "{told:?}");
        assert!(!told[0].contains("Some("), "{told:?}");
    }
}
