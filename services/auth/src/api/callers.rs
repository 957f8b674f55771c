//! `coffre.auth.internal.v1.CallerService`: who stands behind a token, and what has changed since. Internal.

use std::sync::Arc;

use coffre_changes::provider::{Messages, Told};
use coffre_error::{Reason, Refusal};
use coffre_proto::auth::internal::v1::caller_service_server::CallerService;
use coffre_proto::auth::internal::v1::change::Subject as Changed;
use coffre_proto::auth::internal::v1::watch_changes_response::Message;
use coffre_proto::auth::internal::v1::{
    self, Change, DescribeUsersRequest, DescribeUsersResponse, Heartbeat, LookUpRoleRequest, LookUpRoleResponse,
    LookUpUserRequest, LookUpUserResponse, ResolveCallerRequest, ResolveCallerResponse, SigningKey, SigningKeys,
    Snapshot, WatchChangesRequest, WatchChangesResponse,
};
use coffre_types::{ApiAccessId, Permission, RoleId, SessionId, TokenKind, UserId};
use tonic::{Request, Response, Status};

use super::{Callers, convert, error};
use crate::domain::session::Standing;
use crate::domain::signing::PublicKey;
use crate::store::changes::Subject;

#[tonic::async_trait]
impl CallerService for Callers {
    type WatchChangesStream = Messages<WatchChangesResponse>;

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
        Ok(Response::new(self.0.hub.stream(self.0.clock.clone(), message).await))
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

    async fn look_up_role(&self, request: Request<LookUpRoleRequest>) -> Result<Response<LookUpRoleResponse>, Status> {
        let LookUpRoleRequest { role_id, user_id } = request.into_inner();
        let found = match RoleId::new(role_id) {
            Some(id) => self.0.look_up_role(id, UserId::new(user_id)).await.map_err(error::of_fault)?,
            None => None,
        };
        Ok(Response::new(found.map_or_else(LookUpRoleResponse::default, |(role, held)| LookUpRoleResponse {
            exists: true,
            name: role.name,
            system: role.system.is_some(),
            held,
        })))
    }

    async fn describe_users(
        &self,
        request: Request<DescribeUsersRequest>,
    ) -> Result<Response<DescribeUsersResponse>, Status> {
        let whom = convert::whom(request.into_inner()).map_err(error::of_invalid)?;
        let users = self.0.describe(whom).await.map_err(error::of_list)?;
        Ok(Response::new(DescribeUsersResponse { users: users.into_iter().map(convert::to_described).collect() }))
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
        api_access_id: standing.api_access.map_or(0, ApiAccessId::get),
        token_kind: match standing.kind {
            TokenKind::Session => v1::TokenKind::Session,
            TokenKind::PublicApi => v1::TokenKind::PublicApi,
        }
        .into(),
    }
}

/// A message of the stream.
fn message(told: Told<Subject, Arc<[PublicKey]>>) -> WatchChangesResponse {
    let message = match told {
        Told::Snapshot { sequence, state } => Message::Snapshot(Snapshot { sequence, keys: signing_keys(&state) }),
        Told::Change { sequence, subject, state } => {
            Message::Change(Change { sequence, subject: Some(changed(subject, &state)) })
        }
        Told::Heartbeat { sequence, age_ms } => Message::Heartbeat(Heartbeat { sequence, age_ms }),
    };
    WatchChangesResponse { message: Some(message) }
}

fn changed(subject: Subject, keys: &[PublicKey]) -> Changed {
    match subject {
        Subject::Session(session) => Changed::SessionEnded(session.uuid().as_bytes().to_vec()),
        Subject::User(user) => Changed::UserChanged(user.get()),
        Subject::Role(role) => Changed::RoleChanged(role.get()),
        Subject::ApiAccess(access) => Changed::ApiAccessChanged(access.get()),
        Subject::Keys => Changed::KeysChanged(SigningKeys { keys: signing_keys(keys) }),
    }
}

fn signing_keys(keys: &[PublicKey]) -> Vec<SigningKey> {
    keys.iter().map(|key| SigningKey { kid: key.kid.clone(), public_key: key.bytes.clone() }).collect()
}
