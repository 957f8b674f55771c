//! `coffre.vault.internal.v1.ContentsService`: what locker asks about its contents.

use std::sync::Arc;

use coffre_proto::vault::internal::v1::contents_service_server::ContentsService;
use coffre_proto::vault::internal::v1::{
    CountCredentialsRequest, CountCredentialsResponse, SettleEntryRequest, SettleEntryResponse,
};
use tonic::{Request, Response, Status};

use super::convert;
use super::error::status;
use crate::domain::error::VaultError;
use crate::vault::Vault;

const MAX_LOCKERS: usize = 100_000;

/// Tells what lockers hold.
pub(crate) struct Contents(pub(crate) Arc<Vault>);

#[tonic::async_trait]
impl ContentsService for Contents {
    async fn count_credentials(
        &self,
        request: Request<CountCredentialsRequest>,
    ) -> Result<Response<CountCredentialsResponse>, Status> {
        let ids = request.into_inner().locker_ids;
        if ids.len() > MAX_LOCKERS {
            return Err(status(VaultError::invalid("locker_ids", format!("must be at most {MAX_LOCKERS}"))));
        }
        let lockers = ids.into_iter().map(|id| convert::locker_id("locker_ids", id)).collect::<Result<Vec<_>, _>>();
        let counts = self.0.count_credentials(lockers.map_err(status)?).await.map_err(status)?;
        Ok(Response::new(CountCredentialsResponse { counts }))
    }

    async fn settle_entry(
        &self,
        request: Request<SettleEntryRequest>,
    ) -> Result<Response<SettleEntryResponse>, Status> {
        let SettleEntryRequest { credential_id, epoch } = request.into_inner();
        let credential = convert::credential_id("credential_id", credential_id).map_err(status)?;
        self.0.settle_entry(credential, epoch).await.map_err(status)?;
        Ok(Response::new(SettleEntryResponse {}))
    }
}
