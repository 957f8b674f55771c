//! `coffre.auth.v1.ApiKeyService`.

use coffre_proto::auth::v1::api_key_service_server::ApiKeyService;
use coffre_proto::auth::v1::{
    CreateApiKeyRequest, CreateApiKeyResponse, DeleteApiKeyRequest, DeleteApiKeyResponse, ListApiKeysRequest,
    ListApiKeysResponse,
};
use coffre_rpc::CallContext;
use coffre_types::Timestamp;
use tonic::{Request, Response, Status};

use super::{ApiKeys, convert, error};
use crate::domain::api_key::ApiKeyDraft;
use crate::domain::policy;

#[tonic::async_trait]
impl ApiKeyService for ApiKeys {
    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = policy::use_api_keys(call.caller()?).map_err(error::of_denied)?;
        let CreateApiKeyRequest { name, expire_time } = request.into_inner();
        let draft = ApiKeyDraft::new(name, expire_time.map(Timestamp::from_proto)).map_err(error::of_invalid)?;
        let (api_key, key) = self.0.create_api_key(permit, draft, call.record()).await.map_err(error::of_api_key)?;
        Ok(Response::new(CreateApiKeyResponse { api_key: Some(convert::to_api_key(api_key)), key: key.into_exposed() }))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = policy::use_api_keys(call.caller()?).map_err(error::of_denied)?;
        let keys = self.0.api_keys(permit, call.record()).await.map_err(error::of_api_key)?;
        Ok(Response::new(ListApiKeysResponse { api_keys: keys.into_iter().map(convert::to_api_key).collect() }))
    }

    async fn delete_api_key(
        &self,
        request: Request<DeleteApiKeyRequest>,
    ) -> Result<Response<DeleteApiKeyResponse>, Status> {
        let call = CallContext::of(&request)?;
        let id = convert::api_key_id(request.into_inner().id).map_err(error::of_invalid)?;
        let user = call.caller()?.user_id;
        self.0.delete_api_key(user, id, call.record()).await.map_err(error::of_api_key)?;
        Ok(Response::new(DeleteApiKeyResponse {}))
    }
}
