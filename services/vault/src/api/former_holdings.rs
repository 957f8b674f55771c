//! `coffre.vault.internal.v1.HoldingsService`, as auth asked before `coffre.holdings.internal.v1`.

use std::sync::Arc;

use coffre_audit_client::{ActivityType, CallRecord, Site};
use coffre_proto::vault::internal::v1::holdings_service_server::HoldingsService;
use coffre_proto::vault::internal::v1::{Holding, ReleaseUserRequest, ReleaseUserResponse};
use tonic::{Request, Response, Status};

use super::convert;
use super::error::status;
use crate::vault::Vault;

/// Lets go of users in one step.
pub(crate) struct FormerHoldings {
    pub(crate) vault: Arc<Vault>,
    pub(crate) site: Arc<Site>,
}

#[tonic::async_trait]
impl HoldingsService for FormerHoldings {
    async fn release_user(
        &self,
        request: Request<ReleaseUserRequest>,
    ) -> Result<Response<ReleaseUserResponse>, Status> {
        let user = convert::user_id("user_id", request.into_inner().user_id).map_err(status)?;
        let holdings = self.vault.hold_user(user, 0).await.map_err(status)?;
        if holdings.total == 0 {
            let record = CallRecord::system(self.site.clone(), "user.released", ActivityType::AuditUnsetActivityType);
            self.vault.release_user(user, Arc::new(record)).await.map_err(status)?;
        }
        let named = holdings.credentials.into_iter();
        let credentials = named.map(|(id, name)| Holding { id: id.get(), name: name.into_string() }).collect();
        Ok(Response::new(ReleaseUserResponse { credentials, total: holdings.total }))
    }
}
