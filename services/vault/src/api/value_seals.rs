//! `coffre.vault.v1.ValueSealService`.

use std::sync::Arc;

use coffre_proto::vault::v1::value_seal_service_server::ValueSealService;
use coffre_proto::vault::v1::{ListValueSealsRequest, ListValueSealsResponse};
use tonic::{Request, Response, Status};

use super::error::status;
use super::{convert, enter};
use crate::vault::Vault;

/// Answers the calls about seals.
pub(crate) struct ValueSeals(pub(crate) Arc<Vault>);

#[tonic::async_trait]
impl ValueSealService for ValueSeals {
    async fn list_value_seals(
        &self,
        request: Request<ListValueSealsRequest>,
    ) -> Result<Response<ListValueSealsResponse>, Status> {
        let (call, asked) = enter(request)?;
        let (after, limit) = convert::value_seals(&asked).map_err(status)?;
        let (seals, more) = self.0.value_seals(call, after, limit).await.map_err(status)?;
        Ok(Response::new(ListValueSealsResponse { seals: seals.into_iter().map(convert::value_seal).collect(), more }))
    }
}
