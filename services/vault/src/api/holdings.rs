//! `coffre.holdings.internal.v1.HoldingsService`: what auth asks about users who hold credentials, hand them over, or leave.

use std::net::IpAddr;
use std::sync::Arc;

use coffre_audit_client::{ActivityType, CallRecord, Origin, Site, Source};
use coffre_proto::holdings::internal::v1::holdings_service_server::HoldingsService;
use coffre_proto::holdings::internal::v1::{
    Asker, HoldUserRequest, HoldUserResponse, Holding, ListHoldingsRequest, ListHoldingsResponse, ReleaseUserRequest,
    ReleaseUserResponse, RestoreUserRequest, RestoreUserResponse, TransferHoldingsRequest, TransferHoldingsResponse,
};
use coffre_types::{CredentialId, UserId};
use tonic::{Request, Response, Status};

use super::convert;
use super::error::status;
use crate::domain::error::VaultError;
use crate::domain::holdings::{self, HandOver};
use crate::vault::Vault;

/// How many credentials a list names.
const NAMED: usize = 1000;

/// Finds, hands over and lets go of what users hold.
pub(crate) struct Holdings {
    pub(crate) vault: Arc<Vault>,
    pub(crate) site: Arc<Site>,
}

#[tonic::async_trait]
impl HoldingsService for Holdings {
    async fn list_holdings(
        &self,
        request: Request<ListHoldingsRequest>,
    ) -> Result<Response<ListHoldingsResponse>, Status> {
        let user = user("user_id", request.into_inner().user_id)?;
        let (holdings, total) = named(self.vault.holdings(user, NAMED).await.map_err(status)?);
        Ok(Response::new(ListHoldingsResponse { holdings, total }))
    }

    async fn hold_user(&self, request: Request<HoldUserRequest>) -> Result<Response<HoldUserResponse>, Status> {
        let HoldUserRequest { user_id, attempt } = request.into_inner();
        let user = user("user_id", user_id)?;
        let (holdings, total) = named(self.vault.hold_user(user, attempt).await.map_err(status)?);
        Ok(Response::new(HoldUserResponse { holdings, total }))
    }

    async fn restore_user(
        &self,
        request: Request<RestoreUserRequest>,
    ) -> Result<Response<RestoreUserResponse>, Status> {
        let RestoreUserRequest { user_id, attempt } = request.into_inner();
        let user = user("user_id", user_id)?;
        self.vault.restore_user(user, attempt).await.map_err(status)?;
        Ok(Response::new(RestoreUserResponse {}))
    }

    async fn release_user(
        &self,
        request: Request<ReleaseUserRequest>,
    ) -> Result<Response<ReleaseUserResponse>, Status> {
        let message = request.into_inner();
        let user = user("user_id", message.user_id)?;
        let asker = Named::read(message.asker)?;
        let record = asker.record(&self.site, "user.released", ActivityType::AuditUnsetActivityType);
        self.vault.release_user(user, Arc::new(record)).await.map_err(status)?;
        Ok(Response::new(ReleaseUserResponse {}))
    }

    async fn transfer_holdings(
        &self,
        request: Request<TransferHoldingsRequest>,
    ) -> Result<Response<TransferHoldingsResponse>, Status> {
        let message = request.into_inner();
        let command = HandOver {
            giver: user("user_id", message.user_id)?,
            recipient: user("recipient_id", message.recipient_id)?,
            recipient_name: message.recipient_name,
        };
        if command.giver == command.recipient {
            return Err(status(VaultError::invalid("recipient_id", "is the user who holds; name another one")));
        }
        let (asker, site) = (Named::read(message.asker)?, self.site.clone());
        let (by, recipient) = (asker.user, command.recipient);
        let record = move || asker.record(&site, "credential.transferred", ActivityType::UpdateCredentialOwnership);
        let (ids, remaining) = self.vault.hand_over(command, by, record).await.map_err(|error| {
            status(match error {
                VaultError::OwnerUnknown(_) => VaultError::UserNotFound(recipient),
                other => other,
            })
        })?;
        let ids = ids.into_iter().map(CredentialId::get).collect();
        Ok(Response::new(TransferHoldingsResponse { ids, remaining }))
    }
}

fn user(field: &str, number: i64) -> Result<UserId, Status> {
    convert::user_id(field, number).map_err(status)
}

fn named(holdings: holdings::Holdings) -> (Vec<Holding>, i64) {
    let named = holdings.credentials.into_iter();
    (named.map(|(id, name)| Holding { id: id.get(), name: name.into_string() }).collect(), holdings.total)
}

/// In whose name, and for which call, something is done.
struct Named {
    user: UserId,
    user_name: Arc<str>,
    request_id: Arc<str>,
    trace_id: Option<[u8; 16]>,
    client_address: Option<IpAddr>,
    source: Source,
    client_id: Option<Arc<str>>,
}

impl Named {
    fn read(asker: Option<Asker>) -> Result<Self, Status> {
        let asker = asker.ok_or_else(|| status(VaultError::invalid("asker", "is required")))?;
        let source = match asker.source() {
            Source::Unspecified => Source::System,
            source => source,
        };
        Ok(Self {
            source,
            client_id: (!asker.client_id.is_empty()).then(|| asker.client_id.into()),
            user: user("asker.user_id", asker.user_id)?,
            user_name: asker.user_name.into(),
            request_id: asker.request_id.into(),
            trace_id: asker.trace_id.try_into().ok(),
            client_address: asker.client_address.parse().ok(),
        })
    }

    fn record(&self, site: &Arc<Site>, event: &'static str, activity: ActivityType) -> CallRecord {
        let origin = Origin {
            site: site.clone(),
            method: "",
            request_id: self.request_id.clone(),
            trace_id: self.trace_id,
            client_address: self.client_address,
            source: self.source,
        };
        let record = CallRecord::new(origin, event, activity);
        record.actor(self.user, self.user_name.clone(), None);
        if let Some(client) = &self.client_id {
            record.client(client.clone());
        }
        record
    }
}
