//! `coffre.holdings.internal.v1.HoldingsService`: what auth asks about lockers when a user leaves. Internal.

use std::sync::Arc;

use coffre_audit_client::{ActivityType, CallRecord, Origin, Site, Source};
use coffre_proto::holdings::internal::v1::holdings_service_server::HoldingsService;
use coffre_proto::holdings::internal::v1::{
    Asker, HoldUserRequest, HoldUserResponse, Holding, ListHoldingsRequest, ListHoldingsResponse, ReleaseUserRequest,
    ReleaseUserResponse, RestoreUserRequest, RestoreUserResponse, TransferHoldingsRequest, TransferHoldingsResponse,
};
use coffre_types::{LockerId, UserId};
use tonic::{Request, Response, Status};

use super::convert;
use super::error::status;
use crate::domain::error::LockerError;
use crate::domain::holdings::HandOver;
use crate::domain::ports::Held;
use crate::lockers::Lockers;

/// Finds, hands over and lets go of the lockers that users hold.
pub(crate) struct HoldingsHandler {
    pub(crate) lockers: Arc<Lockers>,
    pub(crate) site: Arc<Site>,
}

#[tonic::async_trait]
impl HoldingsService for HoldingsHandler {
    async fn list_holdings(
        &self,
        request: Request<ListHoldingsRequest>,
    ) -> Result<Response<ListHoldingsResponse>, Status> {
        let user = user_id(request.into_inner().user_id)?;
        let held = self.lockers.holdings(user).await.map_err(status)?;
        Ok(Response::new(ListHoldingsResponse { holdings: holdings(held.lockers), total: held.total }))
    }

    async fn hold_user(&self, request: Request<HoldUserRequest>) -> Result<Response<HoldUserResponse>, Status> {
        let HoldUserRequest { user_id: user, attempt } = request.into_inner();
        let held = self.lockers.hold_user(user_id(user)?, attempt).await.map_err(status)?;
        Ok(Response::new(HoldUserResponse { holdings: holdings(held.lockers), total: held.total }))
    }

    async fn restore_user(
        &self,
        request: Request<RestoreUserRequest>,
    ) -> Result<Response<RestoreUserResponse>, Status> {
        let RestoreUserRequest { user_id: user, attempt } = request.into_inner();
        self.lockers.restore_user(user_id(user)?, attempt).await.map_err(status)?;
        Ok(Response::new(RestoreUserResponse {}))
    }

    async fn release_user(
        &self,
        request: Request<ReleaseUserRequest>,
    ) -> Result<Response<ReleaseUserResponse>, Status> {
        let request = request.into_inner();
        let user = user_id(request.user_id)?;
        let (asker, by) = asked_by(request.asker).map_err(status)?;
        let record = self.record(&asker, by, "user.released", ActivityType::AuditUnsetActivityType);
        self.lockers.release_user(user, by, Arc::new(record)).await.map_err(status)?;
        Ok(Response::new(ReleaseUserResponse {}))
    }

    async fn transfer_holdings(
        &self,
        request: Request<TransferHoldingsRequest>,
    ) -> Result<Response<TransferHoldingsResponse>, Status> {
        let request = request.into_inner();
        let (asker, by) = asked_by(request.asker).map_err(status)?;
        let hand_over = HandOver {
            from: user_id(request.user_id)?,
            to: convert::user_id("recipient_id", request.recipient_id).map_err(status)?,
            to_name: request.recipient_name,
            by,
        };
        let record = || self.record(&asker, by, "locker.member.set", ActivityType::UpdateLocker);
        let given = self.lockers.transfer(hand_over, record).await.map_err(status)?;
        let ids = given.lockers.into_iter().map(LockerId::get).collect();
        Ok(Response::new(TransferHoldingsResponse { ids, remaining: given.remaining }))
    }
}

impl HoldingsHandler {
    /// Begins an entry about the call of whoever asked, as this service tells it.
    fn record(&self, asker: &Asker, by: UserId, event: &'static str, activity: ActivityType) -> CallRecord {
        let origin = Origin {
            site: self.site.clone(),
            method: "",
            request_id: asker.request_id.as_str().into(),
            trace_id: asker.trace_id.as_slice().try_into().ok(),
            client_address: asker.client_address.parse().ok(),
            source: match asker.source() {
                Source::Unspecified => Source::System,
                source => source,
            },
        };
        let record = CallRecord::new(origin, event, activity);
        record.actor(by, asker.user_name.as_str(), None);
        if !asker.client_id.is_empty() {
            record.client(asker.client_id.as_str());
        }
        record
    }
}

fn user_id(number: i64) -> Result<UserId, Status> {
    convert::user_id("user_id", number).map_err(status)
}

fn asked_by(asker: Option<Asker>) -> Result<(Asker, UserId), LockerError> {
    let asker = asker.ok_or_else(|| LockerError::invalid("asker", "is required"))?;
    let by = convert::user_id("asker.user_id", asker.user_id)?;
    Ok((asker, by))
}

fn holdings(held: Vec<Held>) -> Vec<Holding> {
    held.into_iter().map(|held| Holding { id: held.id.get(), name: held.name }).collect()
}
