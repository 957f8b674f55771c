//! `coffre.vault.v1.KeyService`.

use std::sync::Arc;

use coffre_proto::vault::v1::key_service_server::KeyService;
use coffre_proto::vault::v1::{
    GetMasterKeyStatusRequest, GetMasterKeyStatusResponse, GetModeRequest, GetModeResponse,
    GetTransportPublicKeyRequest, GetTransportPublicKeyResponse, Mode,
};
use tonic::{Request, Response, Status};

use super::enter;
use super::error::status;
use crate::vault::Vault;

/// Answers the calls on the vault's mode and keys.
pub(crate) struct Keys(pub(crate) Arc<Vault>);

#[tonic::async_trait]
impl KeyService for Keys {
    async fn get_mode(&self, request: Request<GetModeRequest>) -> Result<Response<GetModeResponse>, Status> {
        let (call, _) = enter(request)?;
        call.record.object("vault", "", "");
        let mode = if self.0.has_express_slot().await.map_err(status)? { Mode::Express } else { Mode::Manual };
        Ok(Response::new(GetModeResponse { mode: mode.into() }))
    }

    async fn get_master_key_status(
        &self,
        request: Request<GetMasterKeyStatusRequest>,
    ) -> Result<Response<GetMasterKeyStatusResponse>, Status> {
        let (call, _) = enter(request)?;
        call.record.object("vault", "", "");
        let applied = self.0.is_open().await.map_err(status)?;
        Ok(Response::new(GetMasterKeyStatusResponse { applied }))
    }

    async fn get_transport_public_key(
        &self,
        request: Request<GetTransportPublicKeyRequest>,
    ) -> Result<Response<GetTransportPublicKeyResponse>, Status> {
        let (call, _) = enter(request)?;
        call.record.object("vault", "", "");
        let public_key = self.0.transport.public().await.map_err(status)?;
        Ok(Response::new(GetTransportPublicKeyResponse { public_key }))
    }
}
