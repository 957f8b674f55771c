//! `coffre.vault.v1.CredentialService`.

use std::sync::Arc;

use coffre_proto::vault::v1::credential_service_server::CredentialService;
use coffre_proto::vault::v1::{
    AssignCredentialRequest, AssignCredentialResponse, CreateCredentialRequest, CreateCredentialResponse,
    DeleteAttributeRequest, DeleteAttributeResponse, DeleteCredentialRequest, DeleteCredentialResponse,
    ExplainAccessRequest, ExplainAccessResponse, GetCredentialRequest, GetCredentialResponse, ListCredentialsRequest,
    ListCredentialsResponse, ListLockerCredentialsRequest, ListLockerCredentialsResponse, ListMissingValuesRequest,
    ListMissingValuesResponse, TransferCredentialRequest, TransferCredentialResponse, UpdateCredentialRequest,
    UpdateCredentialResponse, WithdrawCredentialRequest, WithdrawCredentialResponse,
};
use tonic::{Request, Response, Status};

use super::error::status;
use super::{convert, enter, explain};
use crate::vault::Vault;

/// What putting a credential into a locker means (`security.md` 3.2).
const NOTICE: &str = "The locker's owners and managers choose who consumes the locker: from now on you trust them with the standard values \
    of this credential, which every consumer reads.";

/// Answers the calls on credentials.
pub(crate) struct Credentials(pub(crate) Arc<Vault>);

#[tonic::async_trait]
impl CredentialService for Credentials {
    async fn create_credential(
        &self,
        request: Request<CreateCredentialRequest>,
    ) -> Result<Response<CreateCredentialResponse>, Status> {
        let (call, message) = enter(request)?;
        let new = convert::new_credential(message).map_err(status)?;
        let view = self.0.create_credential(call, new).await.map_err(status)?;
        Ok(Response::new(CreateCredentialResponse { credential: Some(convert::credential(view)) }))
    }

    async fn get_credential(
        &self,
        request: Request<GetCredentialRequest>,
    ) -> Result<Response<GetCredentialResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::credential_id("id", message.id).map_err(status)?;
        let view = self.0.credential(call, id).await.map_err(status)?;
        Ok(Response::new(GetCredentialResponse { credential: Some(convert::credential(view)) }))
    }

    async fn list_credentials(
        &self,
        request: Request<ListCredentialsRequest>,
    ) -> Result<Response<ListCredentialsResponse>, Status> {
        let (call, message) = enter(request)?;
        let query = convert::credential_query(message, &self.0.tokens).map_err(status)?;
        let (views, page) = self.0.credentials(call, query).await.map_err(status)?;
        let credentials = views.into_iter().map(convert::credential).collect();
        Ok(Response::new(ListCredentialsResponse { credentials, page: Some(page) }))
    }

    async fn update_credential(
        &self,
        request: Request<UpdateCredentialRequest>,
    ) -> Result<Response<UpdateCredentialResponse>, Status> {
        let (call, message) = enter(request)?;
        let patch = convert::credential_patch(message).map_err(status)?;
        let (view, changed) = self.0.update_credential(call, patch).await.map_err(status)?;
        Ok(Response::new(UpdateCredentialResponse { credential: Some(convert::credential(view)), changed }))
    }

    async fn transfer_credential(
        &self,
        request: Request<TransferCredentialRequest>,
    ) -> Result<Response<TransferCredentialResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::credential_id("id", message.id).map_err(status)?;
        let owner = convert::user_id("owner_id", message.owner_id).map_err(status)?;
        let etag = convert::etag(message.etag).map_err(status)?;
        let (view, changed) = self.0.transfer_credential(call, id, owner, etag).await.map_err(status)?;
        Ok(Response::new(TransferCredentialResponse { credential: Some(convert::credential(view)), changed }))
    }

    async fn delete_credential(
        &self,
        request: Request<DeleteCredentialRequest>,
    ) -> Result<Response<DeleteCredentialResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::credential_id("id", message.id).map_err(status)?;
        let etag = convert::etag(message.etag).map_err(status)?;
        self.0.delete_credential(call, id, etag).await.map_err(status)?;
        Ok(Response::new(DeleteCredentialResponse {}))
    }

    async fn delete_attribute(
        &self,
        request: Request<DeleteAttributeRequest>,
    ) -> Result<Response<DeleteAttributeResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::credential_id("credential_id", message.credential_id).map_err(status)?;
        let attribute = convert::attribute_id("attribute_id", message.attribute_id).map_err(status)?;
        let etag = convert::etag(message.etag).map_err(status)?;
        self.0.delete_attribute(call, id, attribute, etag).await.map_err(status)?;
        Ok(Response::new(DeleteAttributeResponse {}))
    }

    async fn assign_credential(
        &self,
        request: Request<AssignCredentialRequest>,
    ) -> Result<Response<AssignCredentialResponse>, Status> {
        let (call, message) = enter(request)?;
        let command = convert::assign_command(message).map_err(status)?;
        let (view, changed) = self.0.assign_credential(call, command).await.map_err(status)?;
        let credential = Some(convert::credential(view));
        Ok(Response::new(AssignCredentialResponse { credential, changed, notice: NOTICE.to_owned() }))
    }

    async fn withdraw_credential(
        &self,
        request: Request<WithdrawCredentialRequest>,
    ) -> Result<Response<WithdrawCredentialResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::credential_id("credential_id", message.credential_id).map_err(status)?;
        let locker = convert::locker_id("locker_id", message.locker_id).map_err(status)?;
        let etag = convert::etag(message.etag).map_err(status)?;
        self.0.withdraw_credential(call, id, locker, etag).await.map_err(status)?;
        Ok(Response::new(WithdrawCredentialResponse {}))
    }

    async fn list_locker_credentials(
        &self,
        request: Request<ListLockerCredentialsRequest>,
    ) -> Result<Response<ListLockerCredentialsResponse>, Status> {
        let (call, message) = enter(request)?;
        let locker = convert::locker_id("locker_id", message.locker_id).map_err(status)?;
        let query = convert::locker_query(&message.query.unwrap_or_default(), &self.0.tokens).map_err(status)?;
        let (views, page) = self.0.locker_credentials(call, locker, query).await.map_err(status)?;
        let credentials = views.into_iter().map(convert::credential).collect();
        Ok(Response::new(ListLockerCredentialsResponse { credentials, page: Some(page) }))
    }

    async fn explain_access(
        &self,
        request: Request<ExplainAccessRequest>,
    ) -> Result<Response<ExplainAccessResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::credential_id("credential_id", message.credential_id).map_err(status)?;
        let user = message.user_id.map(|user| convert::user_id("user_id", user)).transpose().map_err(status)?;
        let (users, locker) = self.0.explain_access(call, id, user).await.map_err(status)?;
        Ok(Response::new(explain::explained(users, locker)))
    }

    async fn list_missing_values(
        &self,
        request: Request<ListMissingValuesRequest>,
    ) -> Result<Response<ListMissingValuesResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::credential_id("credential_id", message.credential_id).map_err(status)?;
        let users = self.0.missing_values(call, id).await.map_err(status)?;
        Ok(Response::new(ListMissingValuesResponse { users: users.into_iter().map(explain::missing).collect() }))
    }
}
