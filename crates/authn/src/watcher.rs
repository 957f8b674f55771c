//! Follows auth's change stream.

use coffre_changes::consumer::{Disorder, Known, Watch};
use coffre_channel::Channel;
use coffre_proto::auth::internal::v1::caller_service_client::CallerServiceClient;
use coffre_proto::auth::internal::v1::change::Subject as Changed;
use coffre_proto::auth::internal::v1::watch_changes_response::Message;
use coffre_proto::auth::internal::v1::{Snapshot, WatchChangesRequest, WatchChangesResponse};
use coffre_types::{ApiAccessId, RoleId, SessionId, UserId};
use tonic::{Status, Streaming};

use crate::callers::Subject;
use crate::state::State;

impl Watch for State {
    type Subject = Subject;
    type Message = WatchChangesResponse;
    type Stream = Streaming<WatchChangesResponse>;

    const PROVIDER: &'static str = "auth";

    fn known(&self) -> &Known<Subject> {
        &self.callers
    }

    async fn open(&self) -> Result<Self::Stream, Status> {
        open(&self.channel).await
    }

    fn take(&self, message: WatchChangesResponse) -> Result<(), Disorder> {
        match message.message.ok_or(Disorder)? {
            Message::Snapshot(snapshot) => {
                self.set_keys(&snapshot.keys, || self.callers.begin(snapshot.sequence));
                Ok(())
            }
            Message::Change(change) => {
                let apply = |subject| self.callers.apply(change.sequence, subject);
                match change.subject.ok_or(Disorder)? {
                    Changed::SessionEnded(session) => {
                        apply(Subject::Session(SessionId::from_bytes(&session).ok_or(Disorder)?))
                    }
                    Changed::UserChanged(user) => apply(Subject::User(UserId::from_trusted(user))),
                    Changed::RoleChanged(role) => apply(Subject::Role(RoleId::from_trusted(role))),
                    Changed::ApiAccessChanged(access) => apply(Subject::ApiAccess(ApiAccessId::from_trusted(access))),
                    Changed::KeysChanged(keys) => self.set_keys(&keys.keys, || apply(Subject::Other)),
                }
            }
            Message::Heartbeat(heartbeat) => self.callers.hear(heartbeat.sequence, heartbeat.age_ms),
        }
    }
}

async fn open(channel: &Channel) -> Result<Streaming<WatchChangesResponse>, Status> {
    Ok(CallerServiceClient::new(channel.clone()).watch_changes(WatchChangesRequest {}).await?.into_inner())
}

/// Asks for the snapshot that a new stream would begin with.
pub(crate) async fn snapshot(channel: &Channel) -> Result<Option<Snapshot>, Status> {
    let first = open(channel).await?.message().await?;
    Ok(first.and_then(|response| match response.message {
        Some(Message::Snapshot(snapshot)) => Some(snapshot),
        Some(Message::Change(_) | Message::Heartbeat(_)) | None => None,
    }))
}
