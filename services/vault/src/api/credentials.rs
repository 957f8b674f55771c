//! `coffre.vault.v1.CredentialService`.

use std::sync::Arc;

use coffre_proto::vault::v1::credential_service_server::CredentialService;
use coffre_proto::vault::v1::{
    CreateCredentialRequest, CreateCredentialResponse, DeleteAttributeRequest, DeleteAttributeResponse,
    DeleteCredentialRequest, DeleteCredentialResponse, GetCredentialRequest, GetCredentialResponse,
    ListCredentialsRequest, ListCredentialsResponse, TransferCredentialRequest, TransferCredentialResponse,
    UpdateCredentialRequest, UpdateCredentialResponse,
};
use tonic::{Request, Response, Status};

use super::error::status;
use super::{convert, enter};
use crate::vault::Vault;

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
        _: Request<coffre_proto::vault::v1::AssignCredentialRequest>,
    ) -> Result<Response<coffre_proto::vault::v1::AssignCredentialResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn withdraw_credential(
        &self,
        _: Request<coffre_proto::vault::v1::WithdrawCredentialRequest>,
    ) -> Result<Response<coffre_proto::vault::v1::WithdrawCredentialResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn list_locker_credentials(
        &self,
        _: Request<coffre_proto::vault::v1::ListLockerCredentialsRequest>,
    ) -> Result<Response<coffre_proto::vault::v1::ListLockerCredentialsResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn explain_access(
        &self,
        _: Request<coffre_proto::vault::v1::ExplainAccessRequest>,
    ) -> Result<Response<coffre_proto::vault::v1::ExplainAccessResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn list_missing_values(
        &self,
        _: Request<coffre_proto::vault::v1::ListMissingValuesRequest>,
    ) -> Result<Response<coffre_proto::vault::v1::ListMissingValuesResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }
}
