//! What the use cases need from other services.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use coffre_audit_client::{CallRecord, Source};
use coffre_types::{Caller, RoleId, UserId};

/// A service that keeps things of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// Credentials and values.
    Vault,
    /// Lockers.
    Locker,
}

/// Something that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) id: i64,
    pub(crate) name: String,
}

/// What one keeper has of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Held {
    /// How many objects.
    pub(crate) total: i64,
    /// The first ones.
    pub(crate) first: Vec<Object>,
}

/// What a user holds: what would be without an owner if it left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Holdings {
    pub(crate) credentials: Held,
    pub(crate) lockers: Held,
}

/// A keeper does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silent(pub(crate) Keeper);

/// In whose name, and for which call, a keeper acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) user: UserId,
    pub(crate) name: Arc<str>,
    pub(crate) request_id: Arc<str>,
    pub(crate) trace_id: Option<[u8; 16]>,
    pub(crate) client_address: Option<IpAddr>,
    /// The way by which the call came.
    pub(crate) source: Source,
    /// The API client through which it came.
    pub(crate) client_id: Option<Arc<str>>,
}

impl Asker {
    /// The caller, for the call that a record tells of.
    pub(crate) fn of(caller: &Caller, record: &CallRecord) -> Self {
        let origin = record.origin();
        Self {
            user: caller.user_id,
            name: caller.username.clone(),
            request_id: origin.request_id.clone(),
            trace_id: origin.trace_id,
            client_address: origin.client_address,
            source: origin.source,
            client_id: caller.client_id.clone(),
        }
    }
}

/// Who gets something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipient {
    pub(crate) id: UserId,
    pub(crate) name: String,
}

/// A part of a hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) count: i64,
    pub(crate) remaining: i64,
}

/// Why nothing is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotGiven {
    /// The recipient leaves or has left.
    RecipientGone,
    Silent(Keeper),
}

/// Keeps things of users. Everything may be repeated.
#[async_trait]
pub(crate) trait KeepsHoldings: Send + Sync {
    /// Lists what a user holds.
    async fn list(&self, user: UserId) -> Result<Held, Silent>;

    /// Keeps a user who holds nothing from being given anything; otherwise says what it holds.
    async fn hold(&self, user: UserId, attempt: i64) -> Result<Held, Silent>;

    /// Undoes [`Self::hold`].
    async fn restore(&self, user: UserId, attempt: i64) -> Result<(), Silent>;

    /// Removes what belongs to a deleted user alone.
    async fn release(&self, user: UserId, asker: &Asker) -> Result<(), Silent>;

    /// Gives a part of what a user holds to another.
    async fn transfer(&self, user: UserId, recipient: &Recipient, asker: &Asker) -> Result<Given, NotGiven>;
}

/// Keeps what roles consume. Everything may be repeated.
#[async_trait]
pub(crate) trait KeepsConsumers: Send + Sync {
    /// Keeps a role that consumes no locker from consuming one; otherwise says which it consumes.
    async fn hold_role(&self, role: RoleId, attempt: i64) -> Result<Held, Silent>;

    /// Undoes [`Self::hold_role`].
    async fn restore_role(&self, role: RoleId, attempt: i64) -> Result<(), Silent>;

    /// Says which of some roles consume a locker; whoever is about to make one of the others a consumer asks anew who holds it.
    async fn consuming(&self, roles: &[RoleId]) -> Result<Vec<RoleId>, Silent>;
}

/// The services that keep something of users and roles.
pub(crate) struct Keepers {
    pub(crate) vault: Arc<dyn KeepsHoldings>,
    pub(crate) locker: Arc<dyn KeepsHoldings>,
    pub(crate) consumers: Arc<dyn KeepsConsumers>,
}

impl Keepers {
    /// Returns what a service keeps of users.
    pub(crate) fn of(&self, keeper: Keeper) -> &dyn KeepsHoldings {
        match keeper {
            Keeper::Vault => &*self.vault,
            Keeper::Locker => &*self.locker,
        }
    }
}
