//! Vault and locker, as auth asks them about users and roles.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use coffre_channel::Channel;
use coffre_error::{Reason, Refusal};
use coffre_proto::holdings::internal::v1::holdings_service_client::HoldingsServiceClient;
use coffre_proto::holdings::internal::v1::{self as proto, Holding};
use coffre_proto::locker::internal::v1::sharing_service_client::SharingServiceClient;
use coffre_proto::locker::internal::v1::{HoldRoleRequest, InspectRolesRequest, RestoreRoleRequest};
use coffre_types::{RoleId, UserId};
use tokio::time::timeout;
use tonic::{Response, Status};

use crate::domain::ports::{
    Asker, Given, Held, Keeper, KeepsConsumers, KeepsHoldings, NotGiven, Object, Recipient, Silent,
};

/// How long a keeper may take for one answer; it removes or hands over many things in that time.
const PATIENCE: Duration = Duration::from_secs(5);
/// About how many roles locker is asked at a time.
const INSPECTED: usize = 1000;

/// Asks a keeper's `HoldingsService`.
pub(crate) struct Holdings {
    pub(crate) keeper: Keeper,
    pub(crate) channel: Channel,
}

impl Holdings {
    fn client(&self) -> HoldingsServiceClient<Channel> {
        HoldingsServiceClient::new(self.channel.clone())
    }
}

/// Asks locker's `SharingService`.
pub(crate) struct Consumers(pub(crate) Channel);

async fn answer<T>(
    keeper: Keeper,
    asked: impl Future<Output = Result<Response<T>, Status>> + Send,
) -> Result<T, (Silent, Option<Reason>)> {
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => {
            tracing::warn!(?keeper, code = ?status.code(), "a service did not say what it has of a user or a role");
            Err((Silent(keeper), Some(Refusal::from_status(&status).reason())))
        }
        Err(_) => {
            tracing::warn!(?keeper, "a service did not answer in time what it has of a user or a role");
            Err((Silent(keeper), None))
        }
    }
}

fn held(total: i64, first: impl ExactSizeIterator<Item = Object>) -> Held {
    let total = total.max(i64::try_from(first.len()).unwrap_or(i64::MAX));
    Held { total, first: first.collect() }
}

fn object(Holding { id, name }: Holding) -> Object {
    Object { id, name }
}

fn asker(asker: &Asker) -> proto::Asker {
    proto::Asker {
        user_id: asker.user.get(),
        user_name: asker.name.to_string(),
        request_id: asker.request_id.to_string(),
        trace_id: asker.trace_id.map(Vec::from).unwrap_or_default(),
        client_address: asker.client_address.map(|address| address.to_string()).unwrap_or_default(),
        source: asker.source.into(),
        client_id: asker.client_id.as_deref().unwrap_or_default().to_owned(),
    }
}

#[async_trait]
impl KeepsHoldings for Holdings {
    async fn list(&self, user: UserId) -> Result<Held, Silent> {
        let request = proto::ListHoldingsRequest { user_id: user.get() };
        let found = answer(self.keeper, self.client().list_holdings(request)).await.map_err(|(silent, _)| silent)?;
        Ok(held(found.total, found.holdings.into_iter().map(object)))
    }

    async fn hold(&self, user: UserId, attempt: i64) -> Result<Held, Silent> {
        let request = proto::HoldUserRequest { user_id: user.get(), attempt };
        let found = answer(self.keeper, self.client().hold_user(request)).await.map_err(|(silent, _)| silent)?;
        Ok(held(found.total, found.holdings.into_iter().map(object)))
    }

    async fn restore(&self, user: UserId, attempt: i64) -> Result<(), Silent> {
        let request = proto::RestoreUserRequest { user_id: user.get(), attempt };
        answer(self.keeper, self.client().restore_user(request)).await.map(|_| ()).map_err(|(silent, _)| silent)
    }

    async fn release(&self, user: UserId, by: &Asker) -> Result<(), Silent> {
        let request = proto::ReleaseUserRequest { user_id: user.get(), asker: Some(asker(by)) };
        answer(self.keeper, self.client().release_user(request)).await.map(|_| ()).map_err(|(silent, _)| silent)
    }

    async fn transfer(&self, user: UserId, recipient: &Recipient, by: &Asker) -> Result<Given, NotGiven> {
        let request = proto::TransferHoldingsRequest {
            user_id: user.get(),
            recipient_id: recipient.id.get(),
            recipient_name: recipient.name.clone(),
            asker: Some(asker(by)),
        };
        let given = answer(self.keeper, self.client().transfer_holdings(request)).await;
        let given = given.map_err(|(Silent(keeper), reason)| match reason {
            Some(Reason::UserNotFound) => NotGiven::RecipientGone,
            Some(_) | None => NotGiven::Silent(keeper),
        })?;
        Ok(Given { count: i64::try_from(given.ids.len()).unwrap_or(i64::MAX), remaining: given.remaining })
    }
}

#[async_trait]
impl KeepsConsumers for Consumers {
    async fn hold_role(&self, role: RoleId, attempt: i64) -> Result<Held, Silent> {
        let mut client = SharingServiceClient::new(self.0.clone());
        let asked = client.hold_role(HoldRoleRequest { role_id: role.get(), attempt });
        let found = answer(Keeper::Locker, asked).await.map_err(|(silent, _)| silent)?;
        Ok(held(found.total, found.lockers.into_iter().map(|locker| Object { id: locker.id, name: locker.name })))
    }

    async fn restore_role(&self, role: RoleId, attempt: i64) -> Result<(), Silent> {
        let mut client = SharingServiceClient::new(self.0.clone());
        let asked = client.restore_role(RestoreRoleRequest { role_id: role.get(), attempt });
        answer(Keeper::Locker, asked).await.map(|_| ()).map_err(|(silent, _)| silent)
    }

    async fn consuming(&self, roles: &[RoleId]) -> Result<Vec<RoleId>, Silent> {
        let mut consuming = Vec::new();
        for part in roles.chunks(INSPECTED) {
            let mut client = SharingServiceClient::new(self.0.clone());
            let role_ids = part.iter().map(|role| role.get()).collect();
            let asked = client.inspect_roles(InspectRolesRequest { role_ids });
            let found = answer(Keeper::Locker, asked).await.map_err(|(silent, _)| silent)?;
            consuming.extend(found.consuming_role_ids.into_iter().filter_map(RoleId::new));
        }
        Ok(consuming)
    }
}
