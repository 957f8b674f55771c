//! `coffre.audit.internal.v1.IntakeService`: taking the events of the services.

use std::sync::Arc;

use coffre_audit_client::{Outbox, Site, StreamKey};
use coffre_error::{Reason, Refusal};
use coffre_proto::audit::internal::v1::intake_service_server::IntakeService;
use coffre_proto::audit::internal::v1::{
    AppendSegmentsRequest, AppendSegmentsResponse, ReportHeadsRequest, ReportHeadsResponse, ReportRefusalsRequest,
    ReportRefusalsResponse,
};
use coffre_rpc::Peer;
use coffre_types::Clock;
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

use super::{convert, error};
use crate::domain::intake::Arrival;
use crate::domain::ports::WriteLog;

/// The most refusals of one report that are recorded: what the gateway keeps, and the count of the rest.
const MAX_REFUSALS: usize = 1001;
/// The most segments of one call: four times what a relay sends.
const MAX_SEGMENTS: usize = 1024;
/// The most streams that one process tells of.
const MAX_HEADS: usize = 256;

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

/// Refuses what one service says in the name of another: a connection is of the service that its certificate names. Within one process
/// there is no connection, and everybody is believed (security.md 4.2, 6.1).
fn is_of_caller<T>(request: &Request<T>, service: &str) -> Result<(), Refusal> {
    match request.extensions().get::<Peer>() {
        Some(Peer::Internal(caller)) if *caller != service => Err(Refusal::new(
            Reason::AuthzPermissionRequired,
            format!(
                "the service {caller} brings events in the name of another one, which is refused; whoever runs these servers must look at why it does"
            ),
        )),
        Some(Peer::Network(_)) => {
            Err(Refusal::new(Reason::AuthzPermissionRequired, "events are taken from our own services alone"))
        }
        _ => Ok(()),
    }
}

fn at_most(field: &'static str, count: usize, most: usize) -> Result<(), Refusal> {
    if count > most {
        return Err(Refusal::invalid(field, format!("{count} at once are too many: send at most {most}")));
    }
    Ok(())
}

#[tonic::async_trait]
impl IntakeService for Intake {
    async fn append_segments(
        &self,
        request: Request<AppendSegmentsRequest>,
    ) -> Result<Response<AppendSegmentsResponse>, Status> {
        is_of_caller(&request, &request.get_ref().service)?;
        let AppendSegmentsRequest { service, segments } = request.into_inner();
        at_most("segments", segments.len(), MAX_SEGMENTS)?;
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
        is_of_caller(&request, &request.get_ref().service)?;
        let ReportHeadsRequest { service, heads } = request.into_inner();
        at_most("heads", heads.len(), MAX_HEADS)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: Option<Peer>) -> Request<()> {
        let mut request = Request::new(());
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        request
    }

    #[test]
    fn nobody_brings_events_in_the_name_of_another() {
        for (peer, service, is_taken) in [
            (Some(Peer::Internal("vault")), "vault", true),
            (None, "vault", true),
            (Some(Peer::Internal("locker")), "vault", false),
            (Some(Peer::Internal("locker")), "", false),
            (Some(Peer::Network(None)), "vault", false),
        ] {
            let refused = is_of_caller(&from(peer), service).map_err(|refusal| refusal.reason());
            let expected = if is_taken { Ok(()) } else { Err(Reason::AuthzPermissionRequired) };
            assert_eq!(refused, expected, "{peer:?} as {service:?}");
        }
    }
}
