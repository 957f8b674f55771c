//! Follows auth's change stream, for as long as the authenticator lives.

use std::sync::Arc;
use std::time::Duration;

use coffre_channel::Channel;
use coffre_proto::auth::internal::v1::caller_service_client::CallerServiceClient;
use coffre_proto::auth::internal::v1::change::Subject as Changed;
use coffre_proto::auth::internal::v1::watch_changes_response::Message;
use coffre_proto::auth::internal::v1::{Snapshot, WatchChangesRequest};
use coffre_types::{RoleId, SessionId, UserId};
use tokio::time::{sleep, timeout};
use tonic::Status;

use crate::callers::Subject;
use crate::state::State;

/// A stream that says nothing for this long is given up; heartbeats come every 250 ms.
const SILENCE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Why a stream was given up.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("auth ended the stream")]
    Ended,
    #[error("auth said nothing for {} ms", SILENCE.as_millis())]
    Silent,
    #[error("auth answered {0}")]
    Refused(tonic::Code),
    #[error("auth left out a change or sent something unknown")]
    Disorder,
}

impl From<Status> for Broken {
    fn from(status: Status) -> Self {
        Self::Refused(status.code())
    }
}

/// Follows the stream for ever, connecting again whenever it breaks.
pub(crate) async fn watch(state: Arc<State>, channel: Channel) {
    let mut pause = FIRST_PAUSE;
    let mut complained = false;
    loop {
        let mut began = false;
        let broken = follow(&state, &channel, &mut began).await;
        if began {
            pause = FIRST_PAUSE;
            complained = false;
        }
        if !complained && *state.ready.borrow() {
            tracing::warn!(reason = %broken, "the change stream of auth broke; connecting again");
            complained = true;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn follow(state: &State, channel: &Channel, began: &mut bool) -> Broken {
    match try_follow(state, channel, began).await {
        Ok(never) => match never {},
        Err(broken) => broken,
    }
}

async fn try_follow(state: &State, channel: &Channel, began: &mut bool) -> Result<std::convert::Infallible, Broken> {
    let mut client = CallerServiceClient::new(channel.clone());
    let mut stream =
        timeout(SILENCE, client.watch_changes(WatchChangesRequest {})).await.map_err(|_| Broken::Silent)??.into_inner();
    loop {
        let message = timeout(SILENCE, stream.message()).await.map_err(|_| Broken::Silent)??.ok_or(Broken::Ended)?;
        match message.message.ok_or(Broken::Disorder)? {
            Message::Snapshot(snapshot) => {
                // In this order: the old callers go before the stream counts as heard.
                state.unheard();
                state.set_keys(&snapshot.keys, || state.callers.reset(snapshot.sequence));
                *began = true;
                let _ = state.ready.send_replace(true);
            }
            _ if !*began => return Err(Broken::Disorder),
            Message::Change(change) => {
                let apply = |subject| state.callers.apply(change.sequence, subject);
                match change.subject.ok_or(Broken::Disorder)? {
                    Changed::SessionEnded(session) => {
                        apply(Subject::Session(SessionId::from_bytes(&session).ok_or(Broken::Disorder)?))
                    }
                    Changed::UserChanged(user) => apply(Subject::User(UserId::from_trusted(user))),
                    Changed::RoleChanged(role) => apply(Subject::Role(RoleId::from_trusted(role))),
                    Changed::KeysChanged(keys) => state.set_keys(&keys.keys, || apply(Subject::Other)),
                }
                .map_err(|_| Broken::Disorder)?;
            }
            Message::Heartbeat(heartbeat) => {
                if heartbeat.sequence != state.callers.last_sequence() {
                    return Err(Broken::Disorder);
                }
                state.heard(Duration::from_millis(u64::try_from(heartbeat.age_ms).unwrap_or(u64::MAX)));
            }
        }
    }
}

/// Asks for the snapshot that a new stream would begin with.
pub(crate) async fn snapshot(channel: &Channel) -> Result<Option<Snapshot>, Status> {
    let mut client = CallerServiceClient::new(channel.clone());
    let mut stream = client.watch_changes(WatchChangesRequest {}).await?.into_inner();
    let first = stream.message().await?;
    Ok(first.and_then(|response| match response.message {
        Some(Message::Snapshot(snapshot)) => Some(snapshot),
        Some(Message::Change(_) | Message::Heartbeat(_)) | None => None,
    }))
}
