//! `coffre.auth.internal.v1.CallerService`: who stands behind a token, and what has changed since. Internal.

use std::pin::Pin;
use std::sync::Arc;

use coffre_error::{Reason, Refusal};
use coffre_proto::auth::internal::v1::caller_service_server::CallerService;
use coffre_proto::auth::internal::v1::change::Subject as Changed;
use coffre_proto::auth::internal::v1::watch_changes_response::Message;
use coffre_proto::auth::internal::v1::{
    Change, Heartbeat, LookUpUserRequest, LookUpUserResponse, ResolveCallerRequest, ResolveCallerResponse, SigningKey,
    SigningKeys, Snapshot, WatchChangesRequest, WatchChangesResponse,
};
use coffre_types::{Clock, Permission, RoleId, SessionId, UserId};
use futures_util::stream::{self, Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use super::{Callers, error};
use crate::domain::session::Standing;
use crate::domain::signing::PublicKey;
use crate::hub::{Beginning, Note};
use crate::store::changes::Subject;

#[tonic::async_trait]
impl CallerService for Callers {
    type WatchChangesStream = Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

    async fn resolve_caller(
        &self,
        request: Request<ResolveCallerRequest>,
    ) -> Result<Response<ResolveCallerResponse>, Status> {
        let request = request.into_inner();
        let (session, user) = SessionId::from_bytes(&request.session_id)
            .zip(UserId::new(request.user_id))
            .ok_or_else(|| Refusal::new(Reason::AuthTokenInvalid, "the token names no session and no user"))?;
        let standing = self.0.resolve(session, user, request.epoch, request.kid).await.map_err(error::of_session)?;
        Ok(Response::new(resolved(standing)))
    }

    async fn watch_changes(
        &self,
        _: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let beginning = self.0.hub.watch().await;
        Ok(Response::new(Box::pin(tell(beginning, self.0.clock.clone()))))
    }

    async fn look_up_user(&self, request: Request<LookUpUserRequest>) -> Result<Response<LookUpUserResponse>, Status> {
        let found = match UserId::new(request.into_inner().user_id) {
            Some(id) => self.0.look_up(id).await.map_err(error::of_fault)?,
            None => None,
        };
        Ok(Response::new(found.map_or_else(LookUpUserResponse::default, |user| LookUpUserResponse {
            exists: true,
            username: user.username,
            disabled: user.disabled,
        })))
    }

    async fn look_up_role(
        &self,
        _: Request<coffre_proto::auth::internal::v1::LookUpRoleRequest>,
    ) -> Result<Response<coffre_proto::auth::internal::v1::LookUpRoleResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn describe_users(
        &self,
        _: Request<coffre_proto::auth::internal::v1::DescribeUsersRequest>,
    ) -> Result<Response<coffre_proto::auth::internal::v1::DescribeUsersResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }
}

fn resolved(standing: Standing) -> ResolveCallerResponse {
    ResolveCallerResponse {
        sequence: standing.sequence,
        user_id: standing.user_id.get(),
        username: standing.username,
        role_ids: standing.roles.into_iter().map(RoleId::get).collect(),
        permission_ids: standing.permissions.iter().map(Permission::id).collect(),
        password_time_us: standing.password_time.micros(),
        expire_time_us: standing.expires_at.micros(),
        password_change_required: standing.password_change_required,
        client_id: standing.client_id.unwrap_or_default(),
        administrator: standing.administrator,
        first_epoch: standing.first_epoch,
        epoch: standing.epoch,
    }
}

/// The stream of one watcher: a snapshot, a first heartbeat, then what the hub tells. It ends where the watcher fell behind or has to
/// begin anew.
fn tell(
    beginning: Beginning,
    clock: Arc<dyn Clock>,
) -> impl Stream<Item = Result<WatchChangesResponse, Status>> + Send {
    let Beginning { sequence, keys, read_at, notes } = beginning;
    let first = [
        Message::Snapshot(Snapshot { sequence, keys: signing_keys(&keys) }),
        heartbeat(sequence, read_at, clock.as_ref()),
    ];
    let rest = stream::unfold((notes, clock), |(mut notes, clock)| async move {
        let message = match notes.recv().await {
            Ok(Note::Change { sequence, subject, keys }) => {
                Message::Change(Change { sequence, subject: Some(changed(subject, &keys)) })
            }
            Ok(Note::Heartbeat { sequence, read_at }) => heartbeat(sequence, read_at, clock.as_ref()),
            Ok(Note::Restart) | Err(_) => return None,
        };
        Some((message, (notes, clock)))
    });
    stream::iter(first).chain(rest).map(|message| Ok(WatchChangesResponse { message: Some(message) }))
}

fn heartbeat(sequence: i64, read_at: std::time::Instant, clock: &dyn Clock) -> Message {
    let age = clock.monotonic().saturating_duration_since(read_at);
    Message::Heartbeat(Heartbeat { sequence, age_ms: i64::try_from(age.as_millis()).unwrap_or(i64::MAX) })
}

fn changed(subject: Subject, keys: &[PublicKey]) -> Changed {
    match subject {
        Subject::Session(session) => Changed::SessionEnded(session.uuid().as_bytes().to_vec()),
        Subject::User(user) => Changed::UserChanged(user.get()),
        Subject::Role(role) => Changed::RoleChanged(role.get()),
        Subject::Keys => Changed::KeysChanged(SigningKeys { keys: signing_keys(keys) }),
    }
}

fn signing_keys(keys: &[PublicKey]) -> Vec<SigningKey> {
    keys.iter().map(|key| SigningKey { kid: key.kid.clone(), public_key: key.bytes.clone() }).collect()
}
