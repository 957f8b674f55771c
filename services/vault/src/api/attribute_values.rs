//! `coffre.vault.v1.AttributeValueService`.

use std::sync::Arc;

use coffre_proto::vault::v1::attribute_value_service_server::AttributeValueService;
use coffre_proto::vault::v1::{
    CreateAttributeValuesRequest, CreateAttributeValuesResponse, DeleteAttributeValueRequest,
    DeleteAttributeValueResponse, ListAttributeValuesRequest, ListAttributeValuesResponse, UpdateAttributeValueRequest,
    UpdateAttributeValueResponse,
};
use tonic::{Request, Response, Status};

use super::error::status;
use super::{convert, enter};
use crate::vault::Vault;

/// Answers the calls on values.
pub(crate) struct AttributeValues(pub(crate) Arc<Vault>);

#[tonic::async_trait]
impl AttributeValueService for AttributeValues {
    async fn create_attribute_values(
        &self,
        request: Request<CreateAttributeValuesRequest>,
    ) -> Result<Response<CreateAttributeValuesResponse>, Status> {
        let (call, message) = enter(request)?;
        let (command, key) = convert::create_values(message).map_err(status)?;
        let (written, command) = self.0.create_values(call, command, &key).await.map_err(status)?;
        let values = written.iter().zip(&command.values).map(|(written, new)| convert::written(written, &new.secret));
        Ok(Response::new(CreateAttributeValuesResponse { values: values.collect() }))
    }

    async fn list_attribute_values(
        &self,
        request: Request<ListAttributeValuesRequest>,
    ) -> Result<Response<ListAttributeValuesResponse>, Status> {
        let (call, message) = enter(request)?;
        let query = convert::list_values(&message).map_err(status)?;
        let values = self.0.values(call, query).await.map_err(status)?;
        Ok(Response::new(ListAttributeValuesResponse { values: values.into_iter().map(convert::opened).collect() }))
    }

    async fn update_attribute_value(
        &self,
        request: Request<UpdateAttributeValueRequest>,
    ) -> Result<Response<UpdateAttributeValueResponse>, Status> {
        let (call, message) = enter(request)?;
        let (command, secret, key) = convert::update_value(message).map_err(status)?;
        let (written, secret) = self.0.update_value(call, command, secret, &key).await.map_err(status)?;
        Ok(Response::new(UpdateAttributeValueResponse { value: Some(convert::written(&written, &secret)) }))
    }

    async fn delete_attribute_value(
        &self,
        request: Request<DeleteAttributeValueRequest>,
    ) -> Result<Response<DeleteAttributeValueResponse>, Status> {
        let (call, message) = enter(request)?;
        let credential = convert::credential_id("credential_id", message.credential_id).map_err(status)?;
        let id = convert::value_id("id", message.id).map_err(status)?;
        let etag = convert::etag(message.etag).map_err(status)?;
        self.0.delete_value(call, credential, id, etag).await.map_err(status)?;
        Ok(Response::new(DeleteAttributeValueResponse {}))
    }
}
