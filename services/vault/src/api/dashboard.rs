//! `coffre.vault.v1.DashboardService`.

use std::sync::Arc;

use coffre_proto::vault::v1::dashboard_service_server::DashboardService;
use coffre_proto::vault::v1::{GetDashboardRequest, GetDashboardResponse};
use tonic::{Request, Response, Status};

use super::enter;
use super::error::status;
use crate::vault::Vault;

/// Answers the call for the dashboard.
pub(crate) struct Dashboards(pub(crate) Arc<Vault>);

#[tonic::async_trait]
impl DashboardService for Dashboards {
    async fn get_dashboard(
        &self,
        request: Request<GetDashboardRequest>,
    ) -> Result<Response<GetDashboardResponse>, Status> {
        let (call, GetDashboardRequest {}) = enter(request)?;
        let caller = call.caller.clone();
        let found = self.0.dashboard(call).await.map_err(status)?;
        Ok(Response::new(GetDashboardResponse {
            user_id: caller.user_id.get(),
            username: caller.username.as_ref().to_owned(),
            credential_count: found.counts.credentials,
            locker_count: found.lockers,
            missing_value_count: found.counts.missing_values,
            vault_open: found.open,
            entries: found.entries,
        }))
    }
}
