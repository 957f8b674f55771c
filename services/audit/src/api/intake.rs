//! `coffre.audit.internal.v1.IntakeService`: taking the events of the services.

use std::sync::Arc;

use coffre_audit_client::{Outbox, Site, StreamKey};
use coffre_error::Refusal;
use coffre_proto::audit::internal::v1::intake_service_server::IntakeService;
use coffre_proto::audit::internal::v1::{
    AppendSegmentsRequest, AppendSegmentsResponse, ReportHeadsRequest, ReportHeadsResponse, ReportRefusalsRequest,
    ReportRefusalsResponse,
};
use coffre_types::Clock;
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

use super::{convert, error};
use crate::domain::intake::Arrival;
use crate::domain::ports::WriteLog;

/// The most refusals of one report that are recorded: what the gateway keeps, and the count of the rest.
const MAX_REFUSALS: usize = 1001;

/// Answers the relays and the gateway.
pub(crate) struct Intake {
    log: Arc<dyn WriteLog>,
    key: StreamKey,
    clock: Arc<dyn Clock>,
    outbox: Outbox,
    /// Wakes who follows the log.
    appended: Arc<Notify>,
    /// Where the gateway's refusals happened.
    gateway: Arc<Site>,
}

impl Intake {
    pub(crate) fn new(log: Arc<dyn WriteLog>, outbox: Outbox, appended: Arc<Notify>) -> Self {
        let site = outbox.site();
        let gateway = Site {
            service: "gateway",
            host_name: site.host_name.clone(),
            environment_name: site.environment_name.clone(),
            clock: site.clock.clone(),
        };
        Self { log, key: outbox.key().clone(), clock: site.clock.clone(), outbox, appended, gateway: Arc::new(gateway) }
    }
}

#[tonic::async_trait]
impl IntakeService for Intake {
    async fn append_segments(
        &self,
        request: Request<AppendSegmentsRequest>,
    ) -> Result<Response<AppendSegmentsResponse>, Status> {
        let AppendSegmentsRequest { service, segments } = request.into_inner();
        let key = self.key.clone();
        // Milliseconds of hashing: not on the threads that answer calls.
        let checked = tokio::task::spawn_blocking(move || {
            segments.into_iter().map(|segment| Arrival::check(&key, segment)).collect::<Vec<_>>()
        });
        let arrivals = checked.await.map_err(|error| Refusal::internal(&error))?;
        let dispositions = self.log.append(service, arrivals, self.clock.now()).await.map_err(error::store)?;
        self.appended.notify_waiters();
        let dispositions = dispositions.into_iter().map(convert::disposition).collect();
        Ok(Response::new(AppendSegmentsResponse { dispositions }))
    }

    async fn report_heads(
        &self,
        request: Request<ReportHeadsRequest>,
    ) -> Result<Response<ReportHeadsResponse>, Status> {
        let ReportHeadsRequest { service, heads } = request.into_inner();
        let heads = heads.into_iter().map(convert::reported_head).collect::<Result<Vec<_>, _>>()?;
        self.log.report(service, heads, self.clock.now()).await.map_err(error::store)?;
        Ok(Response::new(ReportHeadsResponse {}))
    }

    async fn report_refusals(
        &self,
        request: Request<ReportRefusalsRequest>,
    ) -> Result<Response<ReportRefusalsResponse>, Status> {
        let now = self.clock.now();
        let refusals = request.into_inner().refusals;
        let calls: Vec<_> = refusals
            .into_iter()
            .take(MAX_REFUSALS)
            .map(|refused| convert::refused(refused, &self.gateway, now))
            .collect();
        self.outbox.append_refused(&calls).await?;
        Ok(Response::new(ReportRefusalsResponse {}))
    }
}
