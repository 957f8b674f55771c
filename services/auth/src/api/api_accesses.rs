//! `coffre.auth.v1.ApiAccessService`.

use std::time::Duration;

use coffre_proto::auth::v1 as proto;
use coffre_proto::auth::v1::api_access_service_server::ApiAccessService;
use coffre_proto::auth::v1::{
    ConfirmApiAccessRequest, ConfirmApiAccessResponse, CreateApiAccessRequest, CreateApiAccessResponse,
    DeleteApiAccessRequest, DeleteApiAccessResponse, GetApiAccessRequest, GetApiAccessResponse, ListApiAccessesRequest,
    ListApiAccessesResponse, RotateApiAccessSecretRequest, RotateApiAccessSecretResponse, UpdateApiAccessRequest,
    UpdateApiAccessResponse, WithdrawApiAccessConfirmationRequest, WithdrawApiAccessConfirmationResponse,
};
use coffre_rpc::CallContext;
use coffre_types::{ApiAccessId, UserId};
use tonic::{Request, Response, Status};

use super::oauth_error::of_api_access;
use super::{ApiAccesses, convert, error};
use crate::domain::api_access::{
    ACCESS_TOKEN_LIFE, ApiAccess, ApiAccessPatch, LONGEST_ACCESS_TOKEN_LIFE, LONGEST_REFRESH_TOKEN_LIFE, NewApiAccess,
    REFRESH_TOKEN_LIFE, Read, Rotation, SCOPE, client_id, grace, life, scope, wanted_secret,
};
use crate::domain::error::Invalid;
use crate::domain::user::description;
use crate::domain::{api_accesses, api_policy};

#[tonic::async_trait]
impl ApiAccessService for ApiAccesses {
    async fn create_api_access(
        &self,
        request: Request<CreateApiAccessRequest>,
    ) -> Result<Response<CreateApiAccessResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = api_policy::manage(call.caller()?).map_err(error::of_denied)?;
        let mut request = request.into_inner();
        let secret = wanted_secret(std::mem::take(&mut request.client_secret)).map_err(error::of_invalid)?;
        let new = draft(request).map_err(error::of_invalid)?;
        let (access, secret) = self
            .0
            .create_api_access(permit, new, secret, call.client_address(), call.record())
            .await
            .map_err(of_api_access)?;
        let client_secret = secret.into_exposed();
        Ok(Response::new(CreateApiAccessResponse { api_access: Some(shown(access)), client_secret }))
    }

    async fn get_api_access(
        &self,
        request: Request<GetApiAccessRequest>,
    ) -> Result<Response<GetApiAccessResponse>, Status> {
        let call = CallContext::of(&request)?;
        let concern = api_policy::concern(call.caller()?);
        let id = id(request.into_inner().id).map_err(error::of_invalid)?;
        let access = self.0.api_access(concern, id, call.record()).await.map_err(of_api_access)?;
        Ok(Response::new(GetApiAccessResponse { api_access: Some(shown(access)) }))
    }

    async fn list_api_accesses(
        &self,
        request: Request<ListApiAccessesRequest>,
    ) -> Result<Response<ListApiAccessesResponse>, Status> {
        let call = CallContext::of(&request)?;
        let concern = api_policy::concern(call.caller()?);
        let query = request.into_inner().query.unwrap_or_default();
        let plan = api_accesses::LISTING.plan(&query, &self.0.page_tokens).map_err(error::of_list)?;
        let (found, page) = self.0.api_accesses(concern, plan).await.map_err(error::of_list)?;
        let api_accesses = found.into_iter().map(shown).collect();
        Ok(Response::new(ListApiAccessesResponse { api_accesses, page: Some(page.info()) }))
    }

    async fn update_api_access(
        &self,
        request: Request<UpdateApiAccessRequest>,
    ) -> Result<Response<UpdateApiAccessResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = api_policy::manage(call.caller()?).map_err(error::of_denied)?;
        let request = request.into_inner();
        let id = id(request.id).map_err(error::of_invalid)?;
        let patch = patch(request).map_err(error::of_invalid)?;
        let (access, changed) =
            self.0.update_api_access(permit, id, patch, call.record()).await.map_err(of_api_access)?;
        Ok(Response::new(UpdateApiAccessResponse { api_access: Some(shown(access)), changed }))
    }

    async fn delete_api_access(
        &self,
        request: Request<DeleteApiAccessRequest>,
    ) -> Result<Response<DeleteApiAccessResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = api_policy::manage(call.caller()?).map_err(error::of_denied)?;
        let DeleteApiAccessRequest { id: number, etag } = request.into_inner();
        let (id, etag) = (id(number).map_err(error::of_invalid)?, convert::etag(etag).map_err(error::of_invalid)?);
        self.0.delete_api_access(permit, id, etag, call.record()).await.map_err(of_api_access)?;
        Ok(Response::new(DeleteApiAccessResponse {}))
    }

    async fn rotate_api_access_secret(
        &self,
        request: Request<RotateApiAccessSecretRequest>,
    ) -> Result<Response<RotateApiAccessSecretResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = api_policy::manage(call.caller()?).map_err(error::of_denied)?;
        let RotateApiAccessSecretRequest { id: number, client_secret, grace_period, etag } = request.into_inner();
        let wanted = wanted_secret(client_secret).map_err(error::of_invalid)?;
        let id = id(number).map_err(error::of_invalid)?;
        let grace =
            grace_period.map_or(Ok(Duration::ZERO), |period| grace(seconds(&period))).map_err(error::of_invalid)?;
        let rotation = Rotation { wanted, grace, if_match: convert::etag(etag).map_err(error::of_invalid)? };
        let (access, secret) = self
            .0
            .rotate_api_access_secret(permit, id, rotation, call.client_address(), call.record())
            .await
            .map_err(of_api_access)?;
        let client_secret = secret.into_exposed();
        Ok(Response::new(RotateApiAccessSecretResponse { api_access: Some(shown(access)), client_secret }))
    }

    async fn confirm_api_access(
        &self,
        request: Request<ConfirmApiAccessRequest>,
    ) -> Result<Response<ConfirmApiAccessResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = api_policy::confirm(call.caller()?).map_err(error::of_denied)?;
        let request = request.into_inner();
        let id = id(request.id).map_err(error::of_invalid)?;
        let read = read(request).map_err(error::of_invalid)?;
        let access = self.0.confirm_api_access(permit, id, read, call.record()).await.map_err(of_api_access)?;
        Ok(Response::new(ConfirmApiAccessResponse { api_access: Some(shown(access)) }))
    }

    async fn withdraw_api_access_confirmation(
        &self,
        request: Request<WithdrawApiAccessConfirmationRequest>,
    ) -> Result<Response<WithdrawApiAccessConfirmationResponse>, Status> {
        let call = CallContext::of(&request)?;
        let concern = api_policy::concern(call.caller()?);
        let id = id(request.into_inner().id).map_err(error::of_invalid)?;
        self.0.withdraw_confirmation(concern, id, call.record()).await.map_err(of_api_access)?;
        Ok(Response::new(WithdrawApiAccessConfirmationResponse {}))
    }
}

fn id(id: i64) -> Result<ApiAccessId, Invalid> {
    ApiAccessId::new(id).ok_or_else(|| Invalid::new("id", "must be a number from 1"))
}

fn version(version: Option<i64>) -> Result<Option<i64>, Invalid> {
    match version {
        Some(..0) => Err(Invalid::new("version", "must not be negative")),
        version => Ok(version),
    }
}

fn read(request: ConfirmApiAccessRequest) -> Result<Read, Invalid> {
    Ok(Read { version: version(request.version)?, if_match: convert::etag(request.etag)? })
}

/// Reads whom an API access acts as; 0 is nobody.
fn operator(id: i64) -> Result<Option<UserId>, Invalid> {
    match id {
        0 => Ok(None),
        id => UserId::new(id)
            .map(Some)
            .ok_or_else(|| Invalid::new("operator_id", "must be a number from 1, or 0 for nobody")),
    }
}

/// Reads a duration in whole seconds that is not negative.
fn seconds(duration: &prost_types::Duration) -> Option<u64> {
    if duration.nanos == 0 { u64::try_from(duration.seconds).ok() } else { None }
}

fn access_life(duration: &prost_types::Duration) -> Result<Duration, Invalid> {
    life("access_token_life", seconds(duration), LONGEST_ACCESS_TOKEN_LIFE)
}

fn refresh_life(duration: &prost_types::Duration) -> Result<Duration, Invalid> {
    life("refresh_token_life", seconds(duration), LONGEST_REFRESH_TOKEN_LIFE)
}

fn draft(request: CreateApiAccessRequest) -> Result<NewApiAccess, Invalid> {
    scope(&request.scope)?;
    Ok(NewApiAccess {
        client_id: client_id(request.client_id)?,
        description: description(request.description)?,
        access_token_life: request.access_token_life.as_ref().map_or(Ok(ACCESS_TOKEN_LIFE), access_life)?,
        refresh_token_life: request.refresh_token_life.as_ref().map_or(Ok(REFRESH_TOKEN_LIFE), refresh_life)?,
        password_grant: request.password_grant.unwrap_or(false),
        refresh_grant: request.refresh_grant.unwrap_or(true),
        client_credentials_grant: request.client_credentials_grant.unwrap_or(false),
        operator: operator(request.operator_id)?,
        disabled: request.disabled,
    })
}

fn patch(request: UpdateApiAccessRequest) -> Result<ApiAccessPatch, Invalid> {
    scope(&request.scope)?;
    Ok(ApiAccessPatch {
        version: version(request.version)?,
        etag: convert::etag(request.etag)?,
        client_id: request.client_id.map(client_id).transpose()?,
        description: request.description.map(|text| description(Some(text))).transpose()?,
        access_token_life: request.access_token_life.as_ref().map(access_life).transpose()?,
        refresh_token_life: request.refresh_token_life.as_ref().map(refresh_life).transpose()?,
        password_grant: request.password_grant,
        refresh_grant: request.refresh_grant,
        client_credentials_grant: request.client_credentials_grant,
        operator: request.operator_id.map(operator).transpose()?,
        disabled: request.disabled,
    })
}

fn duration(life: Duration) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: i64::try_from(life.as_secs()).unwrap_or(i64::MAX), nanos: 0 })
}

fn shown(access: ApiAccess) -> proto::ApiAccess {
    let newest = access.newest();
    let confirm_time = newest.and_then(|secret| secret.confirmed_at).map(|at| at.to_proto());
    let secret_create_time = newest.map(|secret| secret.created_at.to_proto());
    let previous = access.secrets.get(1).and_then(|secret| secret.expires_at);
    proto::ApiAccess {
        id: access.id.get(),
        scope: SCOPE.to_owned(),
        access_token_life: duration(access.access_token_life),
        refresh_token_life: duration(access.refresh_token_life),
        password_grant: access.password_grant,
        refresh_grant: access.refresh_grant,
        client_credentials_grant: access.client_credentials_grant,
        operator_id: access.operator.map_or(0, UserId::get),
        confirm_time,
        disabled: access.disabled,
        previous_secret_expire_time: previous.map(|at| at.to_proto()),
        secret_create_time,
        version: access.version.get(),
        creator_id: access.created_by,
        create_time: Some(access.created_at.to_proto()),
        updater_id: access.updated_by,
        update_time: Some(access.updated_at.to_proto()),
        client_id: access.client_id,
        description: access.description,
    }
}
